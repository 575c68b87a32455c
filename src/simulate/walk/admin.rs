//! The security admin rules in front of an interface's NSGs (ADM-2 to ADM-7).

use super::filter::source_decides;
use super::{Course, LeafEnd, Walk};
use crate::compile::admin::{self, AdminList, ManagerLists};
use crate::compile::world::{Open, World};
use crate::model::assumptions::SeveralManagers;
use crate::model::flow::FiveTuple;
use crate::model::rule::Direction;
use crate::model::services::{AdminAction, AdminRulePosition};
use crate::model::verdict::{AdminHit, Interface, Reason, RulePlace, Step, StepAnswer};

/// Where a packet goes after the admin rules of an interface (ADM-3).
pub(super) enum AfterAdmin {
    /// On to the NSGs.
    SecurityGroups,
    /// Past them.
    Delivery,
    /// Nowhere.
    End(LeafEnd),
}

/// What admin rules say.
enum Said {
    Nothing,
    Rule(AdminRulePosition),
    /// It hangs on the source that Azure picks (SIM-10): what they may do.
    Any(Outcomes),
}

/// What admin rules may do with a packet.
#[derive(Clone, Copy, Default)]
struct Outcomes {
    drop: bool,
    deliver: bool,
    go_on: bool,
}

impl Walk<'_> {
    /// Asks the admin rules of one interface.
    pub(super) fn admin(
        &self,
        interface: Interface,
        direction: Direction,
        course: &mut Course,
        world: &World,
    ) -> Result<AfterAdmin, Box<Open>> {
        let managers = self.compiled.admin(interface, direction);
        if managers.is_empty() {
            return Ok(AfterAdmin::SecurityGroups);
        }
        let seen = course.seen;
        let rule = match self.managers(managers, &seen, course.picked, world)? {
            Said::Nothing => return Ok(AfterAdmin::SecurityGroups),
            Said::Any(outcomes) => return outcomes.settle(&seen, world),
            Said::Rule(rule) => rule,
        };
        let hit = AdminHit { interface, direction, rule };
        let action = self.compiled.network.admin_rule(rule).action;
        let answer = StepAnswer::AdminRule(hit, action);
        course.met.steps.push(Step { interface, direction, answer, access: action.access(), seen });
        Ok(match action {
            AdminAction::Deny => AfterAdmin::End(LeafEnd::Denied(Reason::AdminRule(hit))),
            AdminAction::Allow => {
                course.last = Reason::AdminRule(hit);
                AfterAdmin::SecurityGroups
            }
            AdminAction::AlwaysAllow => {
                course.last = Reason::AdminRule(hit);
                AfterAdmin::Delivery
            }
        })
    }

    /// The first match of the manager that goes first (ADM-7).
    fn managers(
        &self,
        managers: &[ManagerLists],
        seen: &FiveTuple,
        picked: bool,
        world: &World,
    ) -> Result<Said, Box<Open>> {
        let managers = match self.compiled.assumptions.adm_7 {
            SeveralManagers::Both => managers,
            SeveralManagers::HighestOnly => highest(managers, world)?,
        };
        let action = |rule| self.compiled.network.admin_rule(rule).action;
        let mut winner: Option<(&ManagerLists, AdminRulePosition)> = None;
        for manager in managers {
            let goes_first = match winner {
                None => None,
                Some((best, _)) => match best.goes_first(manager) {
                    // Its scope is lower.
                    None => continue,
                    question => question,
                },
            };
            let rule = match self.manager(manager, seen, picked, world)? {
                Said::Nothing => continue,
                Said::Rule(rule) => rule,
                // Any of the others may have the say.
                Said::Any(_) => return Ok(Said::Any(self.outcomes(managers, seen, world)?)),
            };
            let keeps = match (winner, goes_first) {
                (Some((_, before)), Some(question)) => {
                    action(before) == action(rule) || world.ask(|| question)?
                }
                _ => false,
            };
            if !keeps {
                winner = Some((manager, rule));
            }
        }
        Ok(winner.map_or(Said::Nothing, |(_, rule)| Said::Rule(rule)))
    }

    /// The first match over the lists of one manager that are in force (ADM-4).
    fn manager(
        &self,
        manager: &ManagerLists,
        seen: &FiveTuple,
        picked: bool,
        world: &World,
    ) -> Result<Said, Box<Open>> {
        if picked {
            return self.manager_for_picked(manager, seen, world);
        }
        let network = &self.compiled.network;
        let cells = (self.compiled.cell(seen.source), self.compiled.cell(seen.destination));
        let mut first: Option<AdminRulePosition> = None;
        for list in &manager.lists {
            let policy = &self.compiled.admin_policies[list.policy];
            let Some(decision) = policy.decide(self.engine, seen, cells, world)? else { continue };
            if !is_in_force(list, world)? {
                continue;
            }
            let rule = admin_rule(policy.owner.place(decision.rule));
            if first.is_none_or(|first| admin::order(network, rule, first).is_lt()) {
                first = Some(rule);
            }
        }
        Ok(first.map_or(Said::Nothing, Said::Rule))
    }

    fn manager_for_picked(
        &self,
        manager: &ManagerLists,
        seen: &FiveTuple,
        world: &World,
    ) -> Result<Said, Box<Open>> {
        let network = &self.compiled.network;
        let mut found: Vec<(AdminRulePosition, bool)> = Vec::new();
        for list in &manager.lists {
            let policy = &self.compiled.admin_policies[list.policy];
            let candidates: Vec<_> = policy.candidates_for_picked(seen, world).collect::<Result<_, _>>()?;
            if candidates.is_empty() || !is_in_force(list, world)? {
                continue;
            }
            let place = |rule| admin_rule(policy.owner.place(rule));
            found.extend(candidates.iter().map(|one| (place(one.decision.rule), one.certain)));
        }
        found.sort_by(|(one, _), (other, _)| admin::order(network, *one, *other));
        let decided = found.iter().position(|(_, certain)| *certain);
        if decided == Some(0) {
            return Ok(Said::Rule(found[0].0));
        }
        if found.is_empty() {
            return Ok(Said::Nothing);
        }
        let mut outcomes = Outcomes { go_on: decided.is_none(), ..Outcomes::default() };
        for (rule, _) in &found[..decided.map_or(found.len(), |decided| decided + 1)] {
            outcomes.add(network.admin_rule(*rule).action);
        }
        Ok(Said::Any(outcomes))
    }

    /// What any of the managers may do with a packet whose source Azure picks.
    fn outcomes(
        &self,
        managers: &[ManagerLists],
        seen: &FiveTuple,
        world: &World,
    ) -> Result<Outcomes, Box<Open>> {
        let mut all = Outcomes::default();
        for manager in managers {
            match self.manager_for_picked(manager, seen, world)? {
                Said::Nothing => {}
                Said::Rule(rule) => all.add(self.compiled.network.admin_rule(rule).action),
                Said::Any(Outcomes { drop, deliver, go_on }) => {
                    all.drop |= drop;
                    all.deliver |= deliver;
                    all.go_on |= go_on;
                }
            }
        }
        Ok(all)
    }
}

impl Outcomes {
    fn add(&mut self, action: AdminAction) {
        match action {
            AdminAction::Deny => self.drop = true,
            AdminAction::AlwaysAllow => self.deliver = true,
            AdminAction::Allow => self.go_on = true,
        }
    }

    /// The best and the worst of them are tried, if they differ. That all drop the packet counts as if the NSGs could
    /// still be asked: which rule it is nobody knows.
    fn settle(self, seen: &FiveTuple, world: &World) -> Result<AfterAdmin, Box<Open>> {
        let best = if self.deliver { AfterAdmin::Delivery } else { AfterAdmin::SecurityGroups };
        let worst = match (self.drop, self.go_on) {
            (true, _) => AfterAdmin::End(LeafEnd::Refused(source_decides(seen))),
            (false, true) => AfterAdmin::SecurityGroups,
            (false, false) => AfterAdmin::Delivery,
        };
        let alike = !self.drop && self.deliver != self.go_on;
        Ok(if alike || world.ask(|| source_decides(seen))? { best } else { worst })
    }
}

/// The manager of the highest scope alone (ADM-7), where it is assumed that the others do not count.
fn highest<'m>(managers: &'m [ManagerLists], world: &World) -> Result<&'m [ManagerLists], Box<Open>> {
    let mut highest = 0;
    for (place, next) in managers.iter().enumerate().skip(1) {
        let Some(question) = managers[highest].goes_first(next) else { break };
        if world.ask(|| question)? {
            break;
        }
        highest = place;
    }
    Ok(managers.get(highest).map_or(&[], std::slice::from_ref))
}

/// Whether a list counts (ADM-6, ADM-8).
fn is_in_force(list: &AdminList, world: &World) -> Result<bool, Box<Open>> {
    for (question, expected) in &list.only_if {
        if world.ask(|| question.clone())? != *expected {
            return Ok(false);
        }
    }
    Ok(true)
}

fn admin_rule(place: RulePlace) -> AdminRulePosition {
    match place {
        RulePlace::Admin(rule) => rule,
        RulePlace::Nsg { .. } => unreachable!("the lists of managers hold admin rules"),
    }
}
