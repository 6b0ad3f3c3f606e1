//! Handing requests for S3 on to the server that has it, as they come.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Hands a request on, streaming both ways. Host and signature stay as they are.
pub(super) async fn hand_on(server: &str, request: Request) -> Response {
    match send(server, request).await {
        Ok(answer) => answer,
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}

async fn send(
    server: &str,
    mut request: Request,
) -> Result<Response, Box<dyn std::error::Error + Send + Sync>> {
    let server = server.trim_start_matches("http://").trim_end_matches('/');
    let stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let path = request.uri().path_and_query().map_or("/", |it| it.as_str());
    *request.uri_mut() = path.parse::<Uri>()?;
    let answer = sender.send_request(request).await?;
    Ok(answer.map(Body::new))
}
