//! Certificates for a test, in a folder of their own.

use std::fs;
use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use tempfile::TempDir;

/// An authority (`ca.pem`) and what it issues.
#[derive(Debug)]
pub struct Certificates {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Default for Certificates {
    fn default() -> Self {
        Self::new()
    }
}

impl Certificates {
    /// A new authority.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "authority");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let issuer = Issuer::new(params, key);
        let all = Self { folder, issuer };
        all.write("ca.pem", certificate.pem());
        all
    }

    /// Writes `<file>.pem` and `<file>.key` for these names.
    pub fn issue(&self, file: &str, names: &[&str]) {
        self.issue_until(file, names, 2100);
    }

    /// As [`Certificates::issue`], valid until the first day of a year.
    pub fn issue_until(&self, file: &str, names: &[&str], year: i32) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name.push(DnType::CommonName, file);
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        // The key first: whoever sees the new certificate finds its key.
        self.write(&format!("{file}.key"), key.serialize_pem());
        self.write(&format!("{file}.pem"), certificate.pem());
    }

    /// Puts a file in place by rename.
    pub fn write(&self, file: &str, content: impl AsRef<[u8]>) {
        let new = self.folder.path().join("new");
        fs::write(&new, content).expect("the folder takes files");
        fs::rename(new, self.path(file)).expect("a file can be renamed");
    }

    /// Makes a symbolic link, or puts another in its place in one step.
    pub fn link(&self, target: &str, link: &str) {
        let new = self.folder.path().join("link");
        std::os::unix::fs::symlink(target, &new).expect("the folder takes links");
        fs::rename(new, self.path(link)).expect("a link can be renamed");
    }

    /// The path of a file of the folder.
    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// The text, with the path of the folder in place of `{pki}`.
    pub fn fill(&self, text: &str) -> String {
        text.replace("{pki}", &self.folder.path().display().to_string())
    }
}
