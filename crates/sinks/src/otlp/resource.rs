//! Whose a record is: a resource for each container, by OpenTelemetry's conventions. `docs/otlp.md` is compared with this.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use model::{ContainerId, ContainerMeta, ContainerRecord, EventRecord, HostRecord, NodeName, repository_of};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;

/// The labels that Compose gives its containers.
const COMPOSE_PROJECT: &str = "com.docker.compose.project";
const COMPOSE_SERVICE: &str = "com.docker.compose.service";

/// Whose records are.
#[derive(Clone, Debug)]
pub(super) enum Owner<'a> {
    /// A container's.
    Container(Cow<'a, ContainerMeta>),
    /// A host's own.
    Host(&'a str),
    /// A host's own, with what is known of its machine.
    Machine(&'a HostRecord),
    /// A dockstream's.
    Node(&'a NodeName),
}

impl<'a> Owner<'a> {
    pub fn of_meta(meta: &'a Arc<ContainerMeta>) -> Self {
        Self::Container(Cow::Borrowed(meta))
    }

    /// A container, by its state; of its labels those that ride on its other records.
    pub fn of_state(record: &ContainerRecord, labels: &[String]) -> Self {
        Self::Container(Cow::Owned(record.meta(labels)))
    }

    /// The container an event concerns, else its host.
    pub fn of_event(record: &'a EventRecord) -> Self {
        let Some(id) = &record.container_id else { return Self::Host(record.host.as_str()) };
        Self::Container(Cow::Owned(ContainerMeta {
            host: record.host.clone(),
            container_id: id.clone(),
            container_name: record.container_name.clone().unwrap_or_default(),
            image: record.image.clone().unwrap_or_default(),
            compose_project: record.compose_project.clone(),
            compose_service: record.compose_service.clone(),
            run: None,
            labels: record.labels.clone(),
        }))
    }

    /// What all that are the same have in common.
    fn key(&self) -> &str {
        match self {
            Self::Container(meta) => meta.container_id.as_str(),
            Self::Host(host) => host,
            Self::Machine(record) => record.host.as_str(),
            Self::Node(node) => node.as_str(),
        }
    }

    /// Whether both are one resource. A run is none: it is told by when a sum began.
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Container(one), Self::Container(other)) => {
                std::ptr::eq(&**one, &**other)
                    || (one.host == other.host
                        && one.container_id == other.container_id
                        && one.container_name == other.container_name
                        && one.image == other.image
                        && one.compose_project == other.compose_project
                        && one.compose_service == other.compose_service
                        && one.labels == other.labels)
            }
            (Self::Host(one), Self::Host(other)) => one == other,
            (Self::Machine(one), Self::Machine(other)) => {
                (&one.host, &one.os, &one.kernel) == (&other.host, &other.os, &other.kernel)
            }
            (Self::Node(one), Self::Node(other)) => one == other,
            _ => false,
        }
    }

    /// Its attributes.
    pub fn resource(&self) -> Resource {
        let mut attributes = Vec::with_capacity(8);
        match self {
            Self::Container(meta) => container(&mut attributes, meta),
            Self::Host(host) => attributes.push(text("host.name", *host)),
            Self::Machine(record) => {
                attributes.push(text("host.name", record.host.as_str()));
                attributes.extend(record.os.as_deref().map(|os| text("os.type", os)));
                attributes.extend(record.kernel.as_deref().map(|kernel| text("os.version", kernel)));
            }
            Self::Node(node) => {
                attributes.push(text("service.name", "dockstream"));
                attributes.push(text("service.instance.id", node.as_str()));
            }
        }
        Resource { attributes, dropped_attributes_count: 0, entity_refs: Vec::new() }
    }
}

fn container(to: &mut Vec<KeyValue>, meta: &ContainerMeta) {
    to.push(text("host.name", meta.host.as_str()));
    to.push(text("container.id", meta.container_id.as_str()));
    to.extend(Some(&meta.container_name).filter(|name| !name.is_empty()).map(|name| text("container.name", name)));
    image(to, &meta.image);
    // A label chosen to ride on records can be one of Compose's.
    let compose = [(COMPOSE_PROJECT, &meta.compose_project), (COMPOSE_SERVICE, &meta.compose_service)];
    let compose = compose.into_iter().filter(|(key, _)| !meta.labels.contains_key(*key));
    let compose = compose.filter_map(|(key, value)| Some((key, value.as_deref()?)));
    let chosen = meta.labels.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    to.extend(compose.chain(chosen).map(|(key, value)| text(format!("container.label.{key}"), value)));
}

/// An image as it was named at creation: `registry:5000/nginx:1.29@sha256:…`, or by its id.
fn image(to: &mut Vec<KeyValue>, named: &str) {
    let (name, digest) = named.split_once('@').map_or((named, None), |(name, digest)| (name, Some(digest)));
    if name.is_empty() {
        return;
    }
    let id = name.strip_prefix("sha256:").unwrap_or(name);
    if ContainerId::try_new(id).is_ok() {
        return to.push(text("container.image.id", named));
    }
    let repository = repository_of(name);
    to.push(text("container.image.name", repository));
    let tag = name[repository.len()..].strip_prefix(':').filter(|tag| !tag.is_empty());
    to.extend(tag.map(|tag| list("container.image.tags", tag)));
    to.extend(digest.map(|digest| list("container.image.repo_digests", format!("{repository}@{digest}"))));
}

/// Something for each resource, in the order in which they came.
pub(super) struct Grouped<'a, T> {
    index: HashMap<String, Vec<usize>>,
    pub all: Vec<(Owner<'a>, T)>,
}

impl<'a, T> Grouped<'a, T> {
    pub fn new() -> Self {
        Self { index: HashMap::new(), all: Vec::new() }
    }

    /// That of `owner`, made by `new` where it is the first.
    pub fn of(&mut self, owner: Owner<'a>, new: impl FnOnce() -> T) -> &mut T {
        let at = self.index.get(owner.key()).into_iter().flatten();
        let at = at.copied().find(|at| self.all[*at].0.is_same(&owner)).unwrap_or_else(|| {
            self.index.entry(owner.key().to_owned()).or_default().push(self.all.len());
            self.all.push((owner, new()));
            self.all.len() - 1
        });
        &mut self.all[at].1
    }
}

/// Who made the records.
pub(super) fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "dockstream".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        ..InstrumentationScope::default()
    }
}

/// An attribute.
pub(super) fn attribute(key: impl Into<String>, value: Value) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// An attribute that is a text.
pub(super) fn text(key: impl Into<String>, value: impl Into<String>) -> KeyValue {
    attribute(key, Value::StringValue(value.into()))
}

/// An attribute that is a list of one.
fn list(key: &str, value: impl Into<String>) -> KeyValue {
    let one = AnyValue { value: Some(Value::StringValue(value.into())) };
    attribute(key, Value::ArrayValue(ArrayValue { values: vec![one] }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(image: &str) -> Vec<(String, String)> {
        let mut attributes = Vec::new();
        super::image(&mut attributes, image);
        let shown = |value: &AnyValue| match value.value.as_ref().unwrap() {
            Value::StringValue(text) => text.clone(),
            Value::ArrayValue(list) => {
                format!("{:?}", list.values.iter().map(|of| of.value.clone().unwrap()).collect::<Vec<_>>())
            }
            other => panic!("{other:?}"),
        };
        attributes.iter().map(|of| (of.key.clone(), shown(of.value.as_ref().unwrap()))).collect()
    }

    #[test]
    fn an_image_is_told_by_name_tag_and_digest_or_by_its_id() {
        let of = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let list = |text: &str| format!("[StringValue({text:?})]");
        assert_eq!(named("nginx"), of(&[("container.image.name", "nginx")]));
        assert_eq!(
            named("registry.example:5000/shop/api:2@sha256:aa"),
            of(&[
                ("container.image.name", "registry.example:5000/shop/api"),
                ("container.image.tags", &list("2")),
                ("container.image.repo_digests", &list("registry.example:5000/shop/api@sha256:aa")),
            ])
        );
        let id = format!("sha256:{:064x}", 7);
        assert_eq!(named(&id), of(&[("container.image.id", &id)]));
        assert_eq!(named(&id[7..]), of(&[("container.image.id", &id[7..])]));
        assert_eq!(named(""), []);
    }
}
