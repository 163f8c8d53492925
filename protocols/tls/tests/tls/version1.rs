//! Certificates of the first version of X.509, made by OpenSSL.

use ringway_tls::{
    ClientCertificates, ClientOptions, Identity, Parameters, Source, TlsVersion, Validation,
};

use crate::support::{Authority, Pair, client_context, server_context, server_with};

macro_rules! file {
    ($name:literal) => {
        Source {
            name: $name.to_owned(),
            bytes: include_bytes!(concat!("version1/", $name)).to_vec(),
        }
    };
}

fn identity(chain: Source) -> Identity {
    Identity { chain, key: file!("leaf.key"), ocsp_staple: None }
}

fn trusting(trusted_ca: Source) -> Validation {
    Validation { trusted_ca: Some(trusted_ca), ..Validation::default() }
}

/// Whether both sides take the other's certificate, in both versions of TLS.
fn taken(chain: &Source, validation: &Validation) -> bool {
    let outcomes = [TlsVersion::V1_2, TlsVersion::V1_3].map(|max| {
        let mut server = server_with(vec![identity(chain.clone())]);
        server.client_certificates = ClientCertificates::Required(validation.clone());
        let client = ClientOptions {
            identity: Some(identity(chain.clone())),
            validation: validation.clone(),
            parameters: Parameters { max, ..Parameters::upstream() },
            ..ClientOptions::default()
        };
        let mut pair =
            Pair::new(&server_context(&server), &client_context(&client), Some("leaf.test"));
        pair.handshake().is_ok()
    });
    assert_eq!(outcomes[0], outcomes[1], "{}", chain.name);
    outcomes[0]
}

#[test]
fn an_authority_vouches_for_it_directly() {
    let leaf = file!("leaf.pem");
    assert!(taken(&leaf, &trusting(file!("authority.pem"))));
    assert!(taken(&leaf, &trusting(leaf.clone())), "it is trusted itself");
    assert!(!taken(&leaf, &trusting(file!("namesake.pem"))), "another of the name has not signed");
    assert!(!taken(&leaf, &trusting(file!("old-authority.pem"))));
    assert!(!taken(&leaf, &trusting(Authority::new().source())));
}

#[test]
fn as_an_authority_it_has_to_be_trusted_itself() {
    assert!(taken(&file!("under-old.pem"), &trusting(file!("old-authority.pem"))));
    assert!(!taken(&file!("through-old.pem"), &trusting(file!("authority.pem"))));
}

#[test]
fn with_lists_it_is_never_known_whether_it_was_revoked() {
    let authority = Authority::new();
    let list = authority.revoke(&authority.ecdsa(&["a.test"]));
    let validation = Validation { crl: Some(list), ..trusting(file!("authority.pem")) };
    assert!(!taken(&file!("leaf.pem"), &validation));
}
