//! Asking each upstream how it is: `upstream_health_path`, each `upstream_health_interval_s`, on a connection of its own.
use crate::balance::seconds;
use crate::body::RequestBody;
use crate::connection::{Connection, Use};
use crate::fields;
use crate::thread::Common;
use hyper::header::{CONNECTION, HOST, HeaderValue};
use std::sync::Arc;
use tokio::time::{sleep, timeout};

/// Failures in a row that make an upstream unhealthy; one success makes it healthy.
const FAILURES: u32 = 2;

/// Ask from now on, in tasks of their own.
pub fn watch(common: &Arc<Common>) {
    for index in 0..common.balance.upstreams.len() {
        let common = common.clone();
        tokio::spawn(async move {
            let interval = seconds(common.options.upstream_health_interval_s);
            let mut failures = 0;
            loop {
                let asked = timeout(interval, ask(&common, index)).await;
                match asked.unwrap_or_else(|_| Err("it does not answer the health check in time".into())) {
                    Ok(()) => {
                        failures = 0;
                        common.balance.checked(index, None);
                    }
                    Err(why) => {
                        failures += 1;
                        if failures >= FAILURES {
                            common.balance.checked(index, Some(&why));
                        }
                    }
                }
                sleep(interval).await;
            }
        });
    }
}

/// Whether it is well; the error says why not.
async fn ask(common: &Common, index: usize) -> Result<(), String> {
    let address = &common.balance.upstreams[index].address;
    let opened = Connection::open(&address.place, Use::Http, &common.options, &common.metrics).await;
    let mut connection = opened.map_err(|error| error.to_string())?;
    let mut request = hyper::Request::new(RequestBody::empty());
    let host = match common.options.upstream_host.as_str() {
        "" => &address.authority,
        host => host,
    };
    *request.uri_mut() = fields::target(&address.target(&common.options.upstream_health_path))
        .ok_or("upstream_health_path is not a path")?;
    request.headers_mut().insert(HOST, HeaderValue::from_str(host).map_err(|error| error.to_string())?);
    request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    let response = connection.sender.send_request(request).await.map_err(|error| error.to_string())?;
    match response.status().as_u16() {
        200..=399 => Ok(()),
        status => Err(format!("it answers the health check with {status}")),
    }
}
