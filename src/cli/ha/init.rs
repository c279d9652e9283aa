//! `ha init`: what goes onto the two machines of a pair, laid out as it lies there.
//!
//! The templates are the folder `keepalived/` of the source; what stands between `@` signs is filled in, and
//! `#{case ...}` tells Debian from CentOS 7. Passwords, tokens and certificates are made here, and are in files
//! that nobody but their owner may read. Nothing is overwritten.

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{Context, Result};
use clap::ValueEnum;
use ipnet::IpNet;

use crate::cli::Misuse;
use crate::cli::new::skeleton::Fill;
use crate::cli::token;
use crate::demo::simulate::Ca;

/// Write what goes onto both nodes of a pair.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  \
    cmp-relay ha init --vip 10.0.0.100/24 --interface eth0 --node a=10.0.0.1 --node b=10.0.0.2 --out pair\n\n\
    pair/README.md then says what to do, step by step. The folder holds passwords and private keys.")]
pub struct Args {
    /// The address that moves between the nodes
    #[arg(long, value_name = "ADDRESS/PREFIX")]
    vip: IpNet,
    /// The network interface that has it, of the same name on both
    #[arg(long, value_name = "IF")]
    interface: String,
    /// A node and its own address; twice
    #[arg(long = "node", value_name = "NAME=ADDRESS", required = true)]
    nodes: Vec<Node>,
    /// Tells this pair from others on the same network
    #[arg(long, value_name = "N", default_value_t = 81, value_parser = clap::value_parser!(u8).range(1..))]
    virtual_router_id: u8,
    /// What the machines run
    #[arg(long, value_enum, default_value_t = Target::Debian)]
    target: Target,
    /// The folder to write; it must not be there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// What the machines run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Target {
    /// Debian 12: keepalived 2.2, MariaDB 10.11
    Debian,
    /// CentOS 7: keepalived 1.3.5, MariaDB 10.2; untested
    Centos7,
}

/// A node as the command line names it.
#[derive(Clone, Debug)]
struct Node {
    name: String,
    address: IpAddr,
}

impl FromStr for Node {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, address) = text.split_once('=').ok_or("write NAME=ADDRESS")?;
        if !is_word(name) {
            return Err("a node's name is made of small letters, digits, `-` and `_`".into());
        }
        let address = address
            .parse()
            .map_err(|_| format!("`{address}` is not an IP address"))?;
        Ok(Self {
            name: name.into(),
            address,
        })
    }
}

impl Node {
    /// As a URL names it.
    fn host(&self) -> String {
        match self.address {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        }
    }
}

/// It names a folder and stands in configurations as it is.
fn is_word(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
    name.starts_with(|c: char| c.is_ascii_lowercase()) && name.len() <= 64 && name.chars().all(fits)
}

/// Who may read a file.
const ALL: u32 = 0o644;
const RUN: u32 = 0o755;
const OWNER: u32 = 0o600;

/// What is filled in, where it goes, who may read it.
const FILES: [(&str, &str, u32); 10] = [
    (
        include_str!("../../../keepalived/keepalived.conf"),
        "etc/keepalived/keepalived.conf",
        ALL,
    ),
    (
        include_str!("../../../keepalived/check"),
        "usr/local/libexec/cmp-relay/check",
        RUN,
    ),
    (
        include_str!("../../../keepalived/notify"),
        "usr/local/libexec/cmp-relay/notify",
        RUN,
    ),
    (
        include_str!("../../../keepalived/cmp-relay.service"),
        "etc/systemd/system/cmp-relay.service",
        ALL,
    ),
    (
        include_str!("../../../keepalived/keepalived-service.conf"),
        "etc/systemd/system/keepalived.service.d/cmp-relay.conf",
        ALL,
    ),
    (
        include_str!("../../../keepalived/mariadb-service.conf"),
        "etc/systemd/system/mariadb.service.d/cmp-relay.conf",
        ALL,
    ),
    (
        include_str!("../../../keepalived/sysctl.conf"),
        "etc/sysctl.d/70-cmp-relay.conf",
        ALL,
    ),
    (
        include_str!("../../../keepalived/relay.yaml"),
        "etc/cmp-relay/relay.yaml",
        ALL,
    ),
    (
        include_str!("../../../keepalived/migrate.yaml"),
        "etc/cmp-relay-migrate/relay.yaml",
        ALL,
    ),
    (
        include_str!("../../../keepalived/accounts.sql"),
        "root/cmp-relay-accounts.sql",
        OWNER,
    ),
];
const MARIADB: &str = include_str!("../../../keepalived/mariadb.cnf");
const README: &str = include_str!("../../../keepalived/README.md");

/// Accounts of the databases, and clients of the relays.
const PASSWORDS: [&str; 4] = ["relay", "relayha", "relaymon", "repl"];
const TOKENS: [&str; 3] = ["cmp", "ops", "peer"];
/// Days that the certificates are good for; the key that could make new ones is not kept.
const DAYS: u32 = 3650;

pub fn run(args: &Args) -> Result<ExitCode> {
    let nodes = checked(args)?;
    let secrets = PASSWORDS
        .iter()
        .chain(&TOKENS)
        .map(|name| Ok((*name, token::new_token()?)))
        .collect::<Result<Vec<_>>>()?;
    let common = common(args, nodes, &secrets);
    fs::create_dir(&args.out).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => anyhow::Error::from(Misuse(format!(
            "{} is there already, and nothing is overwritten: move it away, or take another folder",
            args.out.display()
        ))),
        _ => anyhow::anyhow!("cannot make {}: {error}", args.out.display()),
    })?;
    fs::set_permissions(&args.out, Permissions::from_mode(0o700))?;
    let authority = Ca::new("The relays of a pair", DAYS)?;
    let vip = args.vip.addr().to_string();
    for (number, node) in nodes.iter().enumerate() {
        let peer = nodes[1 - number];
        let fill = common
            .clone()
            .put("node", &node.name)
            .put("number", &(number + 1).to_string())
            // The first one wins an election between equals.
            .put("priority", &(101 - number).to_string())
            .put("address", &node.address.to_string())
            .put("peer", &peer.address.to_string())
            .put("peer_host", &peer.host());
        let root = args.out.join(&node.name);
        for (template, path, mode) in FILES {
            write(&root, path, fill.filled(template).as_bytes(), mode)?;
        }
        let cnf = match args.target {
            Target::Debian => "etc/mysql/mariadb.conf.d/70-cmp-relay.cnf",
            Target::Centos7 => "etc/my.cnf.d/70-cmp-relay.cnf",
        };
        write(&root, cnf, fill.filled(MARIADB).as_bytes(), ALL)?;
        for (name, secret) in &secrets {
            let path = format!("etc/cmp-relay/secrets/{name}");
            write(&root, &path, format!("{secret}\n").as_bytes(), OWNER)?;
        }
        let own = node.address.to_string();
        let addresses = [own.as_str(), &vip, "127.0.0.1"];
        let (certificate, key) = authority.sign(&node.name, &addresses, &["localhost"])?;
        let tls = |name: &str| format!("etc/cmp-relay/tls/{name}");
        write(&root, &tls("ca.pem"), &authority.certificate.to_pem()?, ALL)?;
        write(&root, &tls("node.pem"), &certificate.to_pem()?, ALL)?;
        write(
            &root,
            &tls("node.key"),
            &key.private_key_to_pem_pkcs8()?,
            OWNER,
        )?;
    }
    write(
        &args.out,
        "README.md",
        common.filled(README).as_bytes(),
        ALL,
    )?;
    println!(
        "wrote {0}: what goes onto {1} and {2}, passwords and private keys among it\n\nnext: {0}/README.md",
        args.out.display(),
        nodes[0].name,
        nodes[1].name
    );
    Ok(ExitCode::SUCCESS)
}

/// The two nodes, where the arguments fit together.
fn checked(args: &Args) -> Result<[&Node; 2]> {
    let misuse = |words: &str| Err(Misuse(words.into()).into());
    let [first, second] = args.nodes.as_slice() else {
        return misuse("a pair has two nodes: --node a=ADDRESS --node b=ADDRESS");
    };
    let vip = args.vip.addr();
    let addresses = [first.address, second.address, vip];
    if first.name == second.name {
        return misuse("the nodes have one name: it is a folder's, and tells them apart");
    }
    if first.address == second.address || addresses[..2].contains(&vip) {
        return misuse("the nodes and the address that moves are three addresses, all different");
    }
    if addresses
        .iter()
        .any(|address| address.is_ipv4() != vip.is_ipv4())
    {
        return misuse("the three addresses must be of one family: all IPv4, or all IPv6");
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if args.interface.is_empty() || args.interface.len() > 15 || !args.interface.chars().all(fits) {
        return misuse("--interface is not the name of a network interface");
    }
    Ok([first, second])
}

/// What is the same on both nodes.
fn common(args: &Args, [first, second]: [&Node; 2], secrets: &[(&str, String)]) -> Fill {
    let vip = args.vip.addr();
    let fill = Fill::new()
        .case(match args.target {
            Target::Debian => "debian",
            Target::Centos7 => "centos7",
        })
        .put("vip", &vip.to_string())
        .put("prefix", &args.vip.prefix_len().to_string())
        .put("interface", &args.interface)
        .put("router", &args.virtual_router_id.to_string())
        .put("any", if vip.is_ipv4() { "0.0.0.0" } else { "[::]" })
        .put("first_node", &first.name)
        .put("second_node", &second.name)
        .put("first", &first.address.to_string())
        .put("second", &second.address.to_string());
    let secret = |name: &str| {
        let found = secrets.iter().find(|(known, _)| *known == name);
        found
            .map(|(_, secret)| secret.as_str())
            .expect("each was made")
    };
    fill.put("relay_password", secret("relay"))
        .put("relayha_password", secret("relayha"))
        .put("relaymon_password", secret("relaymon"))
        .put("repl_password", secret("repl"))
        .put("cmp_hash", &token::hash(secret("cmp")))
        .put("ops_hash", &token::hash(secret("ops")))
        .put("peer_hash", &token::hash(secret("peer")))
}

/// Writes a new file; folders on the way may be entered by all, whatever the umask.
fn write(root: &Path, path: &str, content: &[u8], mode: u32) -> Result<()> {
    let full = root.join(path);
    let written = (|| {
        let mut folder = root.to_owned();
        fs::create_dir_all(&folder)?;
        for part in Path::new(path).parent().into_iter().flat_map(Path::iter) {
            folder.push(part);
            if !folder.is_dir() {
                fs::create_dir(&folder)?;
                fs::set_permissions(&folder, Permissions::from_mode(RUN))?;
            }
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(OWNER)
            .open(&full)?;
        file.write_all(content)?;
        file.set_permissions(Permissions::from_mode(mode))
    })();
    written.with_context(|| format!("cannot write {}", full.display()))
}
