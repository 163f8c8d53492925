//! nginx: one worker, a pool towards the origin, nothing on disk.

use std::io;
use std::process::Command;

use super::{MOST_CONNECTIONS, Needs, Setup, add, cluster_prefix, each, path_text, route_path};
use crate::transport::{Client, DIRECT, Identity, Origin, Transport};

const FILE: &str = "nginx.conf";

/// The command line and files.
pub(super) fn configure(command: &mut Command, setup: &Setup) -> io::Result<()> {
    let file = setup.write(FILE, &text(setup))?;
    command.args(["-c", &path_text(&file), "-p", &path_text(&setup.folder)]);
    command.args(["-e", "stderr"]);
    Ok(())
}

/// The file again, with another origin.
pub(super) fn rewrite(setup: &Setup) -> io::Result<()> {
    setup.replace(FILE, &text(setup))
}

fn text(setup: &Setup) -> String {
    if matches!(setup.transport.client, Client::Tcp | Client::Udp) {
        return stream(setup);
    }
    let (upstreams, locations) = locations(setup);
    format!(
        "daemon off;
user root;
worker_processes 1;
worker_rlimit_nofile 65536;
error_log stderr error;
pid {pid};
events {{ worker_connections {MOST_CONNECTIONS}; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_timeout 600s;
  keepalive_requests 1000000000;
  client_max_body_size 0;
  client_body_buffer_size 64k;
  proxy_http_version 1.1;
{upgrade}  proxy_request_buffering off;
  proxy_max_temp_file_size 0;
{buffers}  upstream origin {{ {server} }}
{upstreams}  server {{
    listen 127.0.0.1:{port} backlog=16384{protocols};
{certificate}{locations}    location / {{ {answer} }}
  }}
}}
",
        pid = path_text(&setup.file("nginx.pid")),
        folder = path_text(&setup.folder),
        buffers = buffers(setup.bulk),
        server = server(setup.origin),
        port = setup.port,
        upgrade = upgrade(setup.transport.client),
        protocols = protocols(setup),
        certificate = certificate(setup),
        answer = answer(setup.transport),
    )
}

/// A WebSocket's handshake is passed on; otherwise connections to the origin are kept.
fn upgrade(client: Client) -> &'static str {
    match client {
        Client::WebSocket => {
            "  proxy_set_header Connection upgrade;\n  proxy_set_header Upgrade $http_upgrade;\n  \
             proxy_read_timeout 600s;\n"
        }
        _ => "  proxy_set_header Connection \"\";\n",
    }
}

fn protocols(setup: &Setup) -> String {
    let tls = if setup.transport.is_tls() { " ssl" } else { "" };
    let http2 = if setup.is_http2() { " http2" } else { "" };
    format!("{tls}{http2}")
}

fn certificate(setup: &Setup) -> String {
    setup.identity().map_or(String::new(), |identity| {
        let Identity { certificate, key, .. } = identity;
        format!(
            "    ssl_certificate {certificate};\n    ssl_certificate_key {key};\n    \
             ssl_protocols TLSv1.2 TLSv1.3;\n"
        )
    })
}

fn answer(transport: Transport) -> String {
    match (transport.client, transport.origin) {
        (_, Origin::Direct) => format!("default_type text/plain; return 200 \"{DIRECT}\";"),
        (Client::Grpc | Client::GrpcStream, _) => "grpc_pass grpc://origin;".to_owned(),
        _ => "proxy_pass http://origin;".to_owned(),
    }
}

/// The stream module, which Debian keeps in a package of its own.
fn stream(setup: &Setup) -> String {
    let protocol = if setup.transport.client == Client::Udp { "udp" } else { "backlog=16384" };
    let module = ["/usr/lib/nginx/modules/ngx_stream_module.so"]
        .into_iter()
        .find(|path| std::path::Path::new(path).is_file())
        .map_or(String::new(), |path| format!("load_module {path};\n"));
    format!(
        "{module}daemon off;
user root;
worker_processes 1;
worker_rlimit_nofile 65536;
error_log stderr error;
pid {pid};
events {{ worker_connections {MOST_CONNECTIONS}; }}
stream {{
  proxy_buffer_size 64k;
  server {{
    listen 127.0.0.1:{port} {protocol};
    proxy_pass 127.0.0.1:{origin};
  }}
}}
",
        pid = path_text(&setup.file("nginx.pid")),
        port = setup.port,
        origin = setup.origin,
    )
}

/// For bodies, buffers as large as the other proxies use.
fn buffers(bulk: bool) -> &'static str {
    if bulk {
        "  proxy_buffer_size 16k;\n  proxy_buffers 16 64k;\n  proxy_busy_buffers_size 256k;\n"
    } else {
        ""
    }
}

fn server(port: u16) -> String {
    format!(
        "server 127.0.0.1:{port}; keepalive 2048; keepalive_requests 1000000000; \
         keepalive_timeout 600s;"
    )
}

fn locations(setup: &Setup) -> (String, String) {
    match setup.needs {
        Needs::Plain | Needs::Reload => Default::default(),
        Needs::Routes(count) => {
            let locations = each(count, |text, number| {
                let path = route_path(number);
                let pass = "{ proxy_pass http://origin; }";
                add(text, format_args!("    location = {path} {pass}\n"));
            });
            (String::new(), locations)
        }
        Needs::Clusters(count) => {
            let upstreams = each(count, |text, number| {
                let server = server(setup.origin);
                add(text, format_args!("  upstream c{number:04} {{ {server} }}\n"));
            });
            let locations = each(count, |text, number| {
                let prefix = cluster_prefix(number);
                let pass = format!("{{ proxy_pass http://c{number:04}; }}");
                add(text, format_args!("    location {prefix} {pass}\n"));
            });
            (upstreams, locations)
        }
    }
}
