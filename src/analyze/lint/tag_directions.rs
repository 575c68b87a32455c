//! For which direction Azure recommends a service tag (TAG-13): advice, not a rule (TAG-18).

use crate::model::rule::Direction;
use crate::model::tag::TagName;

/// Tags of what comes in: sources of inbound rules.
const INBOUND: [&str; 16] = [
    "ActionGroup",
    "ApiManagement",
    "ApplicationInsightsAvailability",
    "AzureCognitiveSearch",
    "AzureDataExplorerManagement",
    "AzureDevOps",
    "AzureDigitalTwins",
    "AzureLoadTestingInstanceManagement",
    "AzureMachineLearningInference",
    "AzureSentinel",
    "AzureTrafficManager",
    "GatewayManager",
    "HDInsight",
    "LogicAppsManagement",
    "M365ManagementActivityApiWebhook",
    "PowerPlatformPlex",
];

/// Tags of what is gone out to: destinations of outbound rules.
const OUTBOUND: [&str; 37] = [
    "AppConfiguration",
    "AppService",
    "AzureActiveDirectory",
    "AzureAdvancedThreatProtection",
    "AzureArcInfrastructure",
    "AzureAttestation",
    "AzureBackup",
    "AzureBotService",
    "AzureContainerRegistry",
    "AzureCosmosDB",
    "AzureDataLake",
    "AzureDevSpaces",
    "AzureInformationProtection",
    "AzureIoTHub",
    "AzureKeyVault",
    "AzureManagedGrafana",
    "AzureMonitor",
    "AzureOpenDatasets",
    "AzureResourceManager",
    "AzureSignalR",
    "AzureSiteRecovery",
    "AzureSpringCloud",
    "AzureStack",
    "AzureUpdateDelivery",
    "DataFactoryManagement",
    "EventHub",
    "GuestAndHybridManagement",
    "M365ManagementActivityApi",
    "MicrosoftAzureFluidRelay",
    "MicrosoftCloudAppSecurity",
    "MicrosoftContainerRegistry",
    "MicrosoftPurviewPolicyDistribution",
    "PowerPlatformInfra",
    "ServiceBus",
    "Sql",
    "Storage",
    "WindowsAdminCenter",
];

/// The one direction that a tag, or one of its regions, is recommended for; nothing for those of both directions, and for
/// those that the clause does not list.
pub(super) fn recommended(tag: &TagName) -> Option<Direction> {
    let name = tag.as_str().split_once('.').map_or(tag.as_str(), |(service, _)| service);
    let lists = |list: &[&str]| list.iter().any(|listed| listed.eq_ignore_ascii_case(name));
    if lists(&INBOUND) {
        Some(Direction::Inbound)
    } else if lists(&OUTBOUND) {
        Some(Direction::Outbound)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::{INBOUND, OUTBOUND, recommended};
    use crate::model::rule::Direction;
    use crate::model::tag::TagName;

    #[test]
    fn no_tag_is_recommended_for_either_direction_alone() {
        assert!(INBOUND.iter().all(|tag| !OUTBOUND.contains(tag)));
    }

    #[test]
    fn a_region_goes_with_its_service() {
        let of = |tag: &str| recommended(&TagName::new(tag));
        assert_eq!(of("storage.westeurope"), Some(Direction::Outbound));
        assert_eq!(of("HDInsight"), Some(Direction::Inbound));
        assert_eq!(of("AzureCloud.westeurope"), None);
        assert_eq!(of("Internet"), None);
    }
}
