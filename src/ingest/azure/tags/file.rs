//! The weekly file (TAG-1) and the list of the API (TAG-2).

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};
use serde_path_to_error::Segment;

use crate::ingest::error::IngestError;
use crate::model::finding::{Finding, FindingCode};
use crate::model::prefix::{Prefix, read_prefix};
use crate::model::tag::{ServiceTag, TagCatalog, TagName, TagSource};

/// Both forms: what one of them lacks is optional, members that neither has are skipped.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File<'a> {
    change_number: Option<ChangeNumber>,
    #[serde(borrow)]
    cloud: Option<Text<'a>>,
    #[serde(borrow)]
    values: Option<Vec<Object<Entry<'a>>>>,
    /// What the raw API calls `values`.
    #[serde(borrow)]
    value: Option<Vec<Object<Entry<'a>>>>,
    #[serde(borrow)]
    next_link: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    properties: Option<Object<Properties<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties<'a> {
    #[serde(borrow)]
    region: Option<Text<'a>>,
    #[serde(borrow)]
    system_service: Option<Text<'a>>,
    #[serde(borrow)]
    address_prefixes: Option<Vec<Text<'a>>>,
}

/// A string that stays in the file's bytes. PERF: serde owns the elements of a `Vec<Cow<str>>`; this wrapper keeps
/// a file of 4 MB from becoming 100,000 allocations.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// A JSON object. Serde by itself also takes an array for a struct, member by member: a foreign file might pass.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Only<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Only<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(members)).map(Object)
            }
        }

        deserializer.deserialize_map(Only(PhantomData))
    }
}

/// A change number: an integer in the file, a string in the API's list.
struct ChangeNumber(Option<u64>);

impl<'de> Deserialize<'de> for ChangeNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;

        impl Visitor<'_> for Number {
            type Value = ChangeNumber;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a change number, as an integer or a string of digits")
            }

            fn visit_u64<E>(self, number: u64) -> Result<ChangeNumber, E> {
                Ok(ChangeNumber(Some(number)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ChangeNumber, E> {
                // SIM-4: an empty string is the same as none.
                if text.is_empty() {
                    return Ok(ChangeNumber(None));
                }
                let digits = text.bytes().all(|byte| byte.is_ascii_digit());
                let number = digits.then(|| text.parse().ok()).flatten();
                number
                    .map(|number| ChangeNumber(Some(number)))
                    .ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_any(Number)
    }
}

/// Reads a tag file in JSON.
pub(super) fn read(name: &str, bytes: &[u8]) -> Result<(TagCatalog, Vec<Finding>), IngestError> {
    let text = text(name, bytes)?;
    let Object(file): Object<File<'_>> =
        serde_json::from_str(text).map_err(|error| explained(name, text, &error))?;
    let (member, values) = match (file.values, file.value) {
        (Some(values), None) => ("values", values),
        (None, Some(values)) => ("value", values),
        (Some(_), Some(_)) => {
            let message = "beside `values`: expected one list of service tags";
            return Err(IngestError::content(format!("{name}#/value"), message));
        }
        (None, None) => ("values", Vec::new()),
    };
    if values.is_empty() {
        return Err(IngestError::content(
            format!("{name}#/{member}"),
            "no service tag: expected `values`, a list of service tags",
        ));
    }

    let mut findings = Vec::new();
    if file.next_link.is_some_and(|link| !link.0.is_empty()) {
        findings.push(finding(
            format!("{name}#/nextLink"),
            FindingCode::IncompleteList,
            "the list goes on at `nextLink`: expected the whole list; tags of later pages are unknown"
                .to_owned(),
        ));
    }

    let mut catalog = TagCatalog::new(TagSource {
        change_number: file.change_number.and_then(|number| number.0),
        cloud: file.cloud.map(|cloud| cloud.0.into_owned()).filter(|cloud| !cloud.is_empty()),
        date: date(name),
    });
    for (index, Object(entry)) in values.into_iter().enumerate() {
        let place = format!("{name}#/{member}/{index}");
        let tag = tag(&place, entry, &mut findings)?;
        if tag.name.is_computed() {
            findings.push(finding(
                place,
                FindingCode::UnknownKind,
                format!("`{}` is computed and never read from a file: the entry is ignored", tag.name),
            ));
        } else if let Some(earlier) = catalog.insert(tag) {
            findings.push(finding(
                place,
                FindingCode::DuplicateResource,
                format!("the tag `{}` is there twice: this later entry is used", earlier.name),
            ));
        }
    }
    Ok((catalog, findings))
}

/// The bytes as text, without the mark that some editors put before it.
fn text<'a>(name: &str, bytes: &'a [u8]) -> Result<&'a str, IngestError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|error| {
        let what = if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
            "the text is UTF-16: expected UTF-8".to_owned()
        } else {
            format!("byte {} is not UTF-8: expected a service tag file in JSON", error.valid_up_to())
        };
        IngestError::content(name, what)
    })
}

/// One entry of the list.
fn tag(place: &str, entry: Entry<'_>, findings: &mut Vec<Finding>) -> Result<ServiceTag, IngestError> {
    let missing = |member: &str, expected: &str| {
        IngestError::content(format!("{place}{member}"), format!("missing: expected {expected}"))
    };
    let tag_name = entry.name.filter(|name| !name.0.is_empty());
    let tag_name = tag_name.ok_or_else(|| missing("/name", "the tag's name"))?.0;
    let Object(properties) =
        entry.properties.ok_or_else(|| missing("/properties", "the tag's properties"))?;
    // An empty list is a statement of the file, a missing one is not: taken as empty, rules would miss in silence.
    let listed = properties
        .address_prefixes
        .ok_or_else(|| missing("/properties/addressPrefixes", &format!("the prefixes of `{tag_name}`")))?;

    let mut prefixes: Vec<Prefix> = Vec::with_capacity(listed.len());
    for (index, text) in listed.iter().enumerate() {
        let place = || format!("{place}/properties/addressPrefixes/{index}");
        let read = read_prefix(&text.0)
            .map_err(|error| IngestError::content(place(), format!("tag `{tag_name}`: {error}")))?;
        if read.host_bits {
            findings.push(finding(
                place(),
                FindingCode::HostBitsSet,
                format!("tag `{tag_name}`: `{}` has host bits set: `{}` is used", text.0, read.prefix),
            ));
        }
        prefixes.push(read.prefix);
    }
    prefixes.sort_unstable();
    prefixes.dedup();
    Ok(ServiceTag {
        name: TagName::new(&tag_name),
        region: properties.region.map_or_else(String::new, |region| region.0.into_owned()),
        system_service: properties.system_service.map_or_else(String::new, |service| service.0.into_owned()),
        prefixes,
    })
}

fn finding(place: String, code: FindingCode, message: String) -> Finding {
    Finding { place, code, nsg: None, rule: None, message }
}

/// Says where a file that cannot be read goes wrong: a second, slow pass that keeps track of its place.
fn explained(name: &str, text: &str, fast: &serde_json::Error) -> IngestError {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let Err(slow) = serde_path_to_error::deserialize::<_, Object<File<'_>>>(&mut deserializer) else {
        // Only what stands after the value makes the passes differ.
        return IngestError::content(name, fast.to_string());
    };
    let pointer = slow.path().iter().fold(String::new(), |mut pointer, segment| {
        match segment {
            Segment::Seq { index } => {
                write!(pointer, "/{index}").expect("a string takes all that is written");
            }
            Segment::Map { key } | Segment::Enum { variant: key } => {
                pointer.push('/');
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
            }
            Segment::Unknown => {}
        }
        pointer
    });
    let error = slow.into_inner();
    let message = error.to_string();
    let place = if pointer.is_empty() { name.to_owned() } else { format!("{name}#{pointer}") };
    // A place in the text helps with broken syntax; with a wrong value the pointer says it better.
    let position = format!(" at line {} column {}", error.line(), error.column());
    let message =
        if error.is_data() { message.strip_suffix(&position).unwrap_or(&message) } else { &message };
    // "EOF while parsing a string at line 3 column 4".
    let message =
        message.strip_prefix("EOF").map_or_else(|| message.to_owned(), |rest| format!("the file ends{rest}"));
    let expectation = if pointer.is_empty() { ": expected a service tag file in JSON" } else { "" };
    IngestError::content(place, format!("{message}{expectation}"))
}

/// The day that a file name states: `ServiceTags_Public_20251110.json`, `2025-11-10.json.gz`.
fn date(name: &str) -> Option<String> {
    let name = name.rsplit(['/', '\\']).next()?;
    let dashed = |at: usize| {
        let piece = name.get(at..at + 10)?;
        piece.parse::<jiff::civil::Date>().ok().filter(|_| piece.as_bytes()[4] == b'-')
    };
    let plain = |at: usize| {
        let piece = name.get(at..at + 8).filter(|piece| piece.bytes().all(|byte| byte.is_ascii_digit()))?;
        format!("{}-{}-{}", &piece[..4], &piece[4..6], &piece[6..]).parse::<jiff::civil::Date>().ok()
    };
    let digit = |at: usize| name.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
    (0..name.len())
        .filter(|&at| digit(at) && (at == 0 || !digit(at - 1)))
        .find_map(|at| {
            dashed(at).filter(|_| !digit(at + 10)).or_else(|| plain(at).filter(|_| !digit(at + 8)))
        })
        .map(|date| date.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::date;
    use crate::model::finding::FindingCode;
    use crate::model::tag::{TagName, TagSource};

    /// TAG-1's own example.
    const WEEKLY: &str = r#"{
      "changeNumber": 412,
      "cloud": "Public",
      "values": [
        {
          "name": "Storage.WestEurope",
          "id": "Storage.WestEurope",
          "properties": {
            "changeNumber": 88,
            "region": "westeurope",
            "regionId": 18,
            "platform": "Azure",
            "systemService": "AzureStorage",
            "addressPrefixes": ["2001:db8:18::/48", "198.51.100.0/26", "198.51.100.0/24", "198.51.100.0/26"],
            "networkFeatures": ["API", "NSG", "UDR", "FW", "VSE"]
          }
        }
      ]
    }"#;

    fn error(text: &str) -> String {
        parse("tags.json", text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn tag_1_the_weekly_file_is_read() {
        let (catalog, findings) = parse("x/ServiceTags_Public_20251110.json", WEEKLY.as_bytes()).unwrap();
        assert_eq!(findings, []);
        assert_eq!(
            catalog.source,
            Some(TagSource {
                change_number: Some(412),
                cloud: Some("Public".to_owned()),
                date: Some("2025-11-10".to_owned())
            })
        );
        let tag = catalog.get(&TagName::new("storage.westeurope")).unwrap();
        assert_eq!(
            (tag.name.as_str(), tag.region.as_str(), tag.system_service.as_str()),
            ("Storage.WestEurope", "westeurope", "AzureStorage")
        );
        // Sorted, without duplicates, overlaps kept.
        let prefixes: Vec<String> = tag.prefixes.iter().map(ToString::to_string).collect();
        assert_eq!(prefixes, ["198.51.100.0/24", "198.51.100.0/26", "2001:db8:18::/48"]);
    }

    #[test]
    fn tag_1_windows_line_ends_and_a_byte_order_mark_do_not_matter() {
        let text = format!("\u{feff}{}", WEEKLY.replace('\n', "\r\n"));
        let (catalog, findings) = parse("tags.json", text.as_bytes()).unwrap();
        assert_eq!((catalog.len(), findings.len()), (1, 0));
    }

    #[test]
    fn tag_2_the_list_of_the_api_is_read() {
        let text = r#"{"changeNumber": "412", "cloud": "Public", "id": "x", "name": "Public", "type": "t", "nextLink": null,
            "values": [{"id": "Sql", "name": "Sql", "serviceTagChangeNumber": "9",
            "properties": {"changeNumber": "9", "region": "", "state": "GA", "systemService": "AzureSQL",
            "addressPrefixes": ["198.51.100.0/24"]}}]}"#;
        let (catalog, findings) = parse("tags.json", text.as_bytes()).unwrap();
        assert_eq!(catalog.source.as_ref().unwrap().change_number, Some(412));
        assert_eq!((catalog.len(), findings.len()), (1, 0));
        // The raw answer calls the list `value`.
        let (raw, _) = parse("tags.json", text.replace("\"values\"", "\"value\"").as_bytes()).unwrap();
        assert!(raw.get(&TagName::new("Sql")).is_some());
    }

    #[test]
    fn tag_2_a_page_of_a_longer_list_is_told() {
        let text = WEEKLY.replacen('{', r#"{"nextLink": "https://management.example/2","#, 1);
        let (_, findings) = parse("tags.json", text.as_bytes()).unwrap();
        assert_eq!(findings.len(), 1);
        assert_eq!(
            (findings[0].place.as_str(), findings[0].code),
            ("tags.json#/nextLink", FindingCode::IncompleteList)
        );
    }

    #[test]
    fn tag_6_an_entry_for_a_computed_tag_is_ignored_aloud() {
        let text = r#"{"values": [{"name": "INTERNET", "properties": {"addressPrefixes": ["0.0.0.0/0"]}}]}"#;
        let (catalog, findings) = parse("tags.json", text.as_bytes()).unwrap();
        assert!(catalog.is_empty());
        assert_eq!(findings[0].place, "tags.json#/values/0");
    }

    #[test]
    fn the_later_of_two_entries_counts() {
        let text = r#"{"values": [{"name": "Sql", "properties": {"addressPrefixes": ["198.51.100.0/24"]}},
                                  {"name": "SQL", "properties": {"addressPrefixes": ["203.0.113.0/24"]}}]}"#;
        let (catalog, findings) = parse("tags.json", text.as_bytes()).unwrap();
        let tag = catalog.get(&TagName::new("sql")).unwrap();
        assert_eq!(tag.prefixes, ["203.0.113.0/24".parse().unwrap()]);
        assert_eq!(
            findings[0].to_string(),
            "tags.json#/values/1: DuplicateResource: the tag `Sql` is there twice: this later entry is used"
        );
    }

    #[test]
    fn nsg_11_host_bits_are_masked_and_told() {
        let text = r#"{"values": [{"name": "Sql", "properties": {"addressPrefixes": ["198.51.100.7/24"]}}]}"#;
        let (catalog, findings) = parse("tags.json", text.as_bytes()).unwrap();
        assert_eq!(catalog.get(&TagName::new("Sql")).unwrap().prefixes, ["198.51.100.0/24".parse().unwrap()]);
        assert_eq!(
            findings[0].to_string(),
            "tags.json#/values/0/properties/addressPrefixes/0: HostBitsSet: tag `Sql`: `198.51.100.7/24` has host \
             bits set: `198.51.100.0/24` is used"
        );
    }

    #[test]
    fn an_error_says_where_what_and_what_was_expected() {
        let cases = [
            (
                r#"{"values": [{"name": "Sql", "properties": {"addressPrefixes": ["198.51.100.0/33"]}}]}"#,
                "tags.json#/values/0/properties/addressPrefixes/0: tag `Sql`: `198.51.100.0/33` is neither an IP \
                 address nor a CIDR block",
            ),
            (
                r#"{"values": [{"name": "Sql", "properties": {"addressPrefixes": "198.51.100.0/24"}}]}"#,
                "tags.json#/values/0/properties/addressPrefixes: invalid type: string \"198.51.100.0/24\", expected \
                 a sequence",
            ),
            (
                r#"{"values": [{"name": "Sql", "properties": {"addressPrefixes": [7]}}]}"#,
                "tags.json#/values/0/properties/addressPrefixes/0: invalid type: integer `7`, expected a string",
            ),
            (
                r#"{"values": [{"name": "Sql", "properties": {"region": "westeurope"}}]}"#,
                "tags.json#/values/0/properties/addressPrefixes: missing: expected the prefixes of `Sql`",
            ),
            (
                r#"{"value": [{"name": 5}]}"#,
                "tags.json#/value/0/name: invalid type: integer `5`, expected a string",
            ),
            (r#"{"value": [{}]}"#, "tags.json#/value/0/name: missing: expected the tag's name"),
            (
                r#"{"value": [{"name": "Sql"}], "values": [{"name": "Sql"}]}"#,
                "tags.json#/value: beside `values`: expected one list of service tags",
            ),
            (r#"{"values": [{"name": ""}]}"#, "tags.json#/values/0/name: missing: expected the tag's name"),
            (
                r#"{"values": [{"name": "Sql"}]}"#,
                "tags.json#/values/0/properties: missing: expected the tag's properties",
            ),
            (
                r#"{"changeNumber": "4x", "values": []}"#,
                "tags.json#/changeNumber: invalid value: string \"4x\", expected a change number, as an integer or a \
                 string of digits",
            ),
            (
                r#"{"changeNumber": -1, "values": []}"#,
                "tags.json#/changeNumber: invalid type: integer `-1`, expected a change number, as an integer or a \
                 string of digits",
            ),
            (
                r#"{"securityRules": []}"#,
                "tags.json#/values: no service tag: expected `values`, a list of service tags",
            ),
            (
                r#"{"values": []}"#,
                "tags.json#/values: no service tag: expected `values`, a list of service tags",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(error(text), expected);
        }
    }

    #[test]
    fn what_is_no_tag_file_is_refused_in_words() {
        for (text, expected) in [
            ("", "tags.json: the file ends while parsing a value"),
            ("hello", "tags.json: expected value at line 1 column 1: expected a service tag file"),
            (
                "[1, 2]",
                "tags.json: invalid type: sequence, expected an object: expected a service tag file in JSON",
            ),
            (
                r#"{"values": [["Sql", ["", "", []]]]}"#,
                "/values/0: invalid type: sequence, expected an object",
            ),
            (r#"{"values": [{"name": "Sq"#, "tags.json#/values/0/name: the file ends while parsing a string"),
            (r#"{"values": []} {}"#, "tags.json: trailing characters"),
        ] {
            assert!(error(text).contains(expected), "{text}: {}", error(text));
        }
        let foreign = parse("tags.json", b"\xd4\xc3\xb2\xa1\x02\x00").unwrap_err().to_string();
        assert_eq!(foreign, "tags.json: byte 0 is not UTF-8: expected a service tag file in JSON");
        let utf_16 = parse("tags.json", b"\xff\xfe{\x00}\x00").unwrap_err().to_string();
        assert_eq!(utf_16, "tags.json: the text is UTF-16: expected UTF-8");
    }

    #[test]
    fn a_file_cut_anywhere_is_an_error_and_deep_nesting_no_overflow() {
        for end in 0..WEEKLY.len() {
            assert!(parse("tags.json", &WEEKLY.as_bytes()[..end]).is_err(), "{end}");
        }
        for open in ["[", r#"{"a":"#] {
            assert!(error(&open.repeat(1_000_000)).starts_with("tags.json"));
            let nested = format!(r#"{{"values": {}"#, open.repeat(1_000_000));
            assert!(error(&nested).starts_with("tags.json"));
        }
    }

    #[test]
    fn the_day_is_taken_from_the_file_name() {
        for (name, day) in [
            ("ServiceTags_Public_20251110.json", Some("2025-11-10")),
            ("/data/public-cn376-2025-11-10.json.gz", Some("2025-11-10")),
            ("2025-11-10.json", Some("2025-11-10")),
            ("2024-02-30/tags.json", None),
            ("tags-20251310.json", None),
            ("tags-202511101.json", None),
            ("tags-2025-11-101.json", None),
            ("20251111-2025-11-10.json", Some("2025-11-11")),
            ("\u{e9}2025-11-1\u{e9}.json", None),
            ("tags.json", None),
        ] {
            assert_eq!(date(name).as_deref(), day, "{name}");
        }
    }
}
