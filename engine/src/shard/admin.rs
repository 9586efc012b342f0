//! What the node itself answers: its figures (also as a live resource), and changes announced by other processes.
//!
//! On the operator's listener: `GET /stats`, `GET /metrics`, `GET /position`, `POST /changes`,
//! `POST /sets/revoke`. On the public ones only `<prefix>stats`, and only if that is allowed.
use super::Shard;
use super::exchange::Gathering;
use super::work::Work;
use crate::app::ResponseHead;
use crate::http::fields::Fields;
use crate::http::json;
use crate::http::lists::list;
use crate::http::refusal::Refusal;
use crate::http::response::{BodyFraming, CONTINUE, write_head};
use crate::net::slab::Key;
use crate::resource::key::Audience;
use crate::resource::policy::{Seen, decide};
use crate::resource::representation::Representation;
use crate::resource::set::Name;
use crate::resource::tags::TagHash;
use serde::Deserialize;
use std::sync::Arc;

/// How long figures are fresh: they are read again for their watchers this often.
const FIGURES: &str = "public, max-age=1";

/// Prometheus' text format.
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Whether a request for the figures comes from a collector of them rather than from somebody who reads JSON.
pub(super) fn wants_exposition(work: &Work) -> bool {
    let asks = |value: &[u8]| list(value).any(|range| range.to_ascii_lowercase().starts_with(b"text/plain"));
    work.fields.all("accept").any(asks)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Changes {
    tags: Vec<String>,
}

/// What nobody may wait on any more.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Revocation {
    #[serde(default)]
    sets: Vec<String>,
    #[serde(default)]
    tags: Vec<String>,
}

impl Shard {
    /// Whether a request is for a resource that the node itself makes.
    pub(super) fn is_own_resource(&self, work: &Work) -> bool {
        let path = work.target.split('?').next().unwrap_or_default();
        let readable = matches!(&*work.method, "GET" | "HEAD") && work.resource.is_some();
        readable
            && if work.admin {
                path == "/stats"
            } else {
                let own = path.strip_prefix(&*self.shared.options.prefix) == Some("stats");
                own && self.shared.options.public_stats
            }
    }

    /// The figures as a representation of the resource that `work` asks for.
    pub(super) fn figures(&self, work: &Work, position: u64) -> Option<Representation> {
        self.shared.count();
        let json = self.shared.metrics.json(&self.shared.resources.position(position).to_string());
        let fields: Fields =
            [("content-type", "application/json"), ("cache-control", FIGURES)].into_iter().collect();
        let head = Box::new(ResponseHead { status: 200, fields, ..ResponseHead::default() });
        let said = crate::http::lists::cache_control(head.fields.all("cache-control"));
        let seen = Seen {
            method: "GET",
            credentials: false,
            head: &head,
            cache_control: &said,
            targeted: false,
            tagged: false,
            received_unix_s: self.unix_s,
        };
        let decision = decide(&seen);
        self.make(work, Gathering { head, body: json.into_bytes(), decision, groups: vec![] }, position)
    }

    pub(super) fn serve_figures(&mut self, key: Key) {
        let position = self.shared.resources.log.advance();
        let Some(work) = self.conns.get(key).and_then(|conn| conn.work.as_deref()) else { return };
        let Some(made) = self.figures(work, position) else { return };
        if work.intent.watches() {
            return self.watch(key, made, &[], Audience::Public);
        }
        self.serve(
            key,
            &Arc::new(made),
            crate::resource::annotate::CacheStatus::Stored(crate::resource::annotate::Forward::Miss),
        );
    }

    /// Answer, or begin to read the body of, a request that is the node's own business.
    pub(super) fn serve_own(&mut self, key: Key, body: Vec<u8>) {
        let Some(work) = self.conns.get_mut(key).and_then(|conn| conn.work.as_deref_mut()) else { return };
        if work.body.done() {
            return self.answer_own(key, body);
        }
        work.gathered = Some(body);
        if work.expects_continue {
            self.write(key, CONTINUE);
        }
        // What is left of it is read after this connection's turn, which holds what was read so far.
        self.again.push(key);
        self.arm(key);
    }

    /// Answer such a request, whose body is there.
    pub(super) fn answer_own(&mut self, key: Key, body: Vec<u8>) {
        let Some(work) = self.conns.get(key).and_then(|conn| conn.work.as_deref()) else { return };
        if self.is_monitor(work) {
            return self.answer_monitor(key, &body);
        }
        self.shared.count();
        let path = work.target.split('?').next().unwrap_or_default();
        let answer = if self.is_own_resource(work) && wants_exposition(work) {
            Ok((EXPOSITION, self.shared.metrics.prometheus()))
        } else if !work.admin {
            Err(Refusal::new(404, "not_found", "the node has nothing here"))
        } else {
            match (&*work.method, path) {
                ("GET", "/metrics") => Ok((EXPOSITION, self.shared.metrics.prometheus())),
                ("GET", "/position") => {
                    Ok(("application/json", self.position_json(self.shared.resources.log.head())))
                }
                ("POST", "/changes") => {
                    self.change(&body).map(|offset| ("application/json", self.position_json(offset)))
                }
                ("POST", "/sets/revoke") => self
                    .revoke(&body)
                    .map(|sets| ("application/json", serde_json::json!({ "revoked": sets }).to_string())),
                (_, "/metrics" | "/position" | "/changes" | "/stats" | "/sets/revoke") => {
                    let detail = "GET /stats, /metrics, /position; POST /changes, /sets/revoke";
                    Err(Refusal::new(405, "method", detail))
                }
                _ => {
                    let detail = "there are /stats, /metrics, /position, /changes and /sets/revoke";
                    Err(Refusal::new(404, "not_found", detail))
                }
            }
        };
        match answer {
            Ok((kind, text)) => {
                let Some(conn) = self.conns.get_mut(key) else { return };
                let Some(work) = conn.work.as_deref_mut() else { return };
                (work.status, work.sent_bytes) = (200, text.len() as u64);
                let fields: Fields =
                    [("content-type", kind), ("cache-control", "no-store")].into_iter().collect();
                let framing = BodyFraming::Length(text.len() as u64);
                let (minor, keep_alive) = (work.minor, conn.keep_alive);
                let mut out = self.buffer(key);
                write_head(&mut out, minor, 200, &fields, framing, keep_alive, self.date.at(self.unix_s));
                out.extend_from_slice(text.as_bytes());
                self.complete(key);
                self.give(key, out);
            }
            Err(refusal) => self.fail(key, &refusal),
        }
    }

    fn position_json(&self, offset: u64) -> String {
        serde_json::json!({ "position": self.shared.resources.position(offset).to_string() }).to_string()
    }

    fn change(&self, body: &[u8]) -> Result<u64, Refusal> {
        let bad = |detail: String| Refusal::new(422, "bad_change", detail);
        if json::too_deep(body) {
            return Err(bad(format!("JSON may nest {} deep", json::MAX_DEPTH)));
        }
        let changes: Changes = serde_json::from_slice(body)
            .map_err(|error| bad(format!("a change is {{\"tags\": [\"…\"]}}: {error}")))?;
        let resources = &self.shared.resources;
        let tags = resources
            .check(changes.tags.iter().map(String::as_str))
            .map_err(|error| bad(error.to_string()))?;
        if tags.is_empty() {
            return Err(bad("a change names at least one tag".into()));
        }
        Ok(resources.changed(&tags, &[]))
    }

    /// Nobody may wait on these sets any more. How many there were.
    fn revoke(&self, body: &[u8]) -> Result<usize, Refusal> {
        let bad = |detail: String| Refusal::new(422, "bad_revocation", detail);
        if json::too_deep(body) {
            return Err(bad(format!("JSON may nest {} deep", json::MAX_DEPTH)));
        }
        let asked: Revocation = serde_json::from_slice(body).map_err(|error| {
            bad(format!("a revocation is {{\"sets\": [\"…\"]}} or {{\"tags\": [\"…\"]}}: {error}"))
        })?;
        let resources = &self.shared.resources;
        let tags =
            resources.check(asked.tags.iter().map(String::as_str)).map_err(|error| bad(error.to_string()))?;
        let named = |text: &String| Name::parse(text).ok_or_else(|| bad(format!("{text:?} names no set")));
        let names = asked.sets.iter().map(named).collect::<Result<Vec<_>, _>>()?;
        if names.is_empty() && tags.is_empty() {
            return Err(bad("a revocation names at least one set or tag".into()));
        }
        let tags: Vec<TagHash> = tags.iter().map(|tag| TagHash::of(tag)).collect();
        Ok(resources.monitors.revoke(&names, &tags))
    }

    /// The body of a request is wanted now.
    pub(super) fn want(&mut self, key: Key) {
        self.arm(key);
        self.read_body(key);
    }
}
