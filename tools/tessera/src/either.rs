//! Keys that may be written in a short form or as a table.
//!
//! Written by hand because serde's untagged enums lose the spans that diagnostics need.

use crate::description::{Device, Gic, GicTable, GicVersion, Place, Transports, Virtio};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// A boolean or a table of type `T`.
enum Either<T> {
    Present(bool),
    At(T),
}

struct EitherVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for EitherVisitor<T> {
    type Value = Either<T>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true, false or a table")
    }
    fn visit_bool<E: de::Error>(self, v: bool) -> Result<Self::Value, E> {
        Ok(Either::Present(v))
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Either::At)
    }
}

impl<'de> Deserialize<'de> for Device {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Ok(
            match d.deserialize_any(EitherVisitor::<Place>(PhantomData))? {
                Either::Present(v) => Self::Present(v),
                Either::At(v) => Self::At(v),
            },
        )
    }
}

impl<'de> Deserialize<'de> for Virtio {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Ok(
            match d.deserialize_any(EitherVisitor::<Transports>(PhantomData))? {
                Either::Present(v) => Self::Present(v),
                Either::At(v) => Self::At(v),
            },
        )
    }
}

struct GicVisitor;

impl<'de> Visitor<'de> for GicVisitor {
    type Value = GicVersion;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"any\", 2 or 3")
    }
    fn visit_i64<E: de::Error>(self, v: i64) -> Result<GicVersion, E> {
        match v {
            2 => Ok(GicVersion::V2),
            3 => Ok(GicVersion::V3),
            _ => Err(E::custom(format!(
                "GICv{v} is not supported: write 2, 3 or \"any\""
            ))),
        }
    }
    fn visit_str<E: de::Error>(self, v: &str) -> Result<GicVersion, E> {
        match v {
            "any" => Ok(GicVersion::Any),
            _ => Err(E::custom(format!(
                "`{v}` is not a GIC version: write 2, 3 or \"any\""
            ))),
        }
    }
}

impl<'de> Deserialize<'de> for GicVersion {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(GicVisitor)
    }
}

/// Reads `gic = 3` as well as `[guest.NAME.gic]`.
struct GicOrVersion;

impl<'de> Visitor<'de> for GicOrVersion {
    type Value = Gic;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"any\", 2, 3 or a table")
    }
    fn visit_i64<E: de::Error>(self, v: i64) -> Result<Gic, E> {
        GicVisitor.visit_i64(v).map(Gic::Version)
    }
    fn visit_str<E: de::Error>(self, v: &str) -> Result<Gic, E> {
        GicVisitor.visit_str(v).map(Gic::Version)
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Gic, A::Error> {
        GicTable::deserialize(MapAccessDeserializer::new(map)).map(Gic::Table)
    }
}

impl<'de> Deserialize<'de> for Gic {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(GicOrVersion)
    }
}

impl JsonSchema for GicVersion {
    fn schema_name() -> Cow<'static, str> {
        "GicVersion".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "What the image needs: the board's (`any`), GICv2 or GICv3.",
            "enum": ["any", 2, 3]
        })
    }
}

impl JsonSchema for Gic {
    fn schema_name() -> Cow<'static, str> {
        "Gic".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let version = generator.subschema_for::<GicVersion>();
        let table = generator.subschema_for::<GicTable>();
        json_schema!({ "anyOf": [version, table] })
    }
}

impl JsonSchema for Device {
    fn schema_name() -> Cow<'static, str> {
        "Device".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let table = generator.subschema_for::<Place>();
        json_schema!({ "anyOf": [{ "type": "boolean" }, table] })
    }
}

impl JsonSchema for Virtio {
    fn schema_name() -> Cow<'static, str> {
        "Virtio".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let table = generator.subschema_for::<Transports>();
        json_schema!({ "anyOf": [{ "type": "boolean" }, table] })
    }
}
