//! Requests and responses over real sockets: framing, order, limits.
mod support;
use freshwire_engine::limits::Options;
use std::time::Duration;
use support::{Response, Running, field, start};

fn echo(options: Options) -> Running {
    start(options, |request| {
        Some(match &*request.target {
            "/hang" => return None,
            "/kept" => Response::ok("kept").field("cache-control", "max-age=100"),
            "/large" => Response::ok("x".repeat(8_000_000)),
            target => Response::ok(format!("{} {target} {}", request.method, request.body.len())),
        })
    })
}

#[test]
fn pipelined_requests_are_answered_in_order_whatever_answers_them() {
    let running = echo(Options::default());
    let mut client = running.connect();
    let paths = ["/kept", "/1", "/kept", "/2", "/kept", "/kept", "/3"];
    let requests: String =
        paths.iter().map(|path| format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")).collect();
    for _ in 0..3 {
        client.send(&requests);
        for path in paths {
            let body = client.response().1;
            assert_eq!(body, if path == "/kept" { "kept".into() } else { format!("GET {path} 0") });
        }
    }
    // Cut anywhere.
    for cut in (1..requests.len()).step_by(7) {
        client.send(&requests[..cut]);
        std::thread::sleep(Duration::from_millis(1));
        client.send(&requests[cut..]);
        for path in paths {
            assert!(client.response().1.contains(if path == "/kept" { "kept" } else { path }));
        }
    }
}

#[test]
fn hundreds_of_pipelined_requests_in_one_write_are_all_answered() {
    let running = echo(Options::default());
    let mut client = running.connect();
    let many = "GET /kept HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".repeat(700)
        + "GET /last HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    client.send(&many);
    for _ in 0..700 {
        assert_eq!(client.response().1, "kept");
    }
    assert_eq!(client.response().1, "GET /last 0");
}

#[test]
fn a_body_goes_to_the_application_and_what_follows_is_the_next_request() {
    let running = echo(Options::default());
    let mut client = running.connect();
    client.send("POST /a HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\n\r\nhelloGET /b HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    assert_eq!(client.response().1, "POST /a 5");
    assert_eq!(client.response().1, "GET /b 0");
    client.send(
        "POST /c HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    );
    assert_eq!(client.response().1, "POST /c 3");
}

#[test]
fn a_head_that_dribbles_in_is_read_and_one_that_stalls_is_refused_alone() {
    let running = echo(Options { header_timeout_s: 1.0, ..Options::default() });
    let mut slow = running.connect();
    slow.send("GET /slow HTTP/1.1\r\nHo");
    let mut client = running.connect();
    for byte in "GET /b HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".bytes() {
        client.send([byte]);
    }
    assert_eq!(client.response().1, "GET /b 0");
    assert!(slow.rest().starts_with("HTTP/1.1 408"));
    assert_eq!(client.get("/c", "").response().1, "GET /c 0");
}

#[test]
fn what_is_over_a_limit_or_ambiguous_is_refused_and_the_connection_ends() {
    let running = echo(Options::default());
    let long = format!("GET /{} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "a".repeat(9000));
    let wide = format!("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n{}\r\n", "A: b\r\n".repeat(101));
    let host = "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n".to_owned();
    let large = "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9999999\r\n\r\n".to_owned();
    let both = "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned();
    for (request, status) in [(long, 414), (wide, 431), (host, 421), (large, 413), (both, 400)] {
        let mut client = running.connect();
        client.send(request + "GET /smuggled HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
        let answer = client.rest();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        assert!(
            answer.contains("application/problem+json") && answer.contains("connection: close"),
            "{answer}"
        );
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    }
}

#[test]
fn an_application_that_hangs_costs_its_own_request_only() {
    let running = echo(Options { app_timeout_s: 1.0, ..Options::default() });
    let (mut hung, mut client) = (running.connect(), running.connect());
    hung.get("/hang", "");
    assert_eq!(client.get("/b", "").response().1, "GET /b 0");
    assert!(hung.response().0.starts_with("HTTP/1.1 504"));
    assert_eq!(hung.get("/again", "").response().1, "GET /again 0");
}

#[test]
fn a_reader_that_takes_nothing_of_its_response_is_let_go() {
    let running = echo(Options { write_timeout_s: 1.0, ..Options::default() });
    let mut stuck = running.connect();
    stuck.get("/large", "");
    std::thread::sleep(Duration::from_millis(2500));
    assert!(stuck.rest().len() < 8_000_000);
    let mut client = running.connect();
    let (head, body) = client.get("/large", "").response();
    assert_eq!((field(&head, "content-length"), body.len()), (Some("8000000"), 8_000_000));
}

#[test]
fn http_1_0_gets_no_chunks_and_closes_unless_asked_to_stay() {
    let running = echo(Options::default());
    let mut client = running.connect();
    client.send("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let (head, _) = client.response();
    assert_eq!(field(&head, "connection"), Some("keep-alive"));
    client.send("GET /b HTTP/1.0\r\n\r\n");
    assert!(client.rest().ends_with("GET /b 0"));
}
