//! nginx: one worker, a pool towards the origin, nothing on disk.

use std::io;
use std::process::Command;

use super::{MOST_CONNECTIONS, Needs, Setup, add, cluster_prefix, each, path_text, route_path};

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
  proxy_set_header Connection \"\";
  proxy_request_buffering off;
  proxy_max_temp_file_size 0;
{buffers}  upstream origin {{ {server} }}
{upstreams}  server {{
    listen 127.0.0.1:{port} backlog=16384;
{locations}    location / {{ proxy_pass http://origin; }}
  }}
}}
",
        pid = path_text(&setup.file("nginx.pid")),
        folder = path_text(&setup.folder),
        buffers = buffers(setup.bulk),
        server = server(setup.origin),
        port = setup.port,
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
