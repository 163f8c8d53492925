//! Values of DER, one after the other.

use x509_parser::asn1_rs::{Any, Class, Tag};
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

/// The values that follow one another inside of a DER value.
pub(crate) struct Items<'a>(pub(crate) &'a [u8]);

impl<'a> Items<'a> {
    pub(crate) fn next(&mut self) -> Option<Any<'a>> {
        let (rest, item) = Any::from_der(self.0).ok()?;
        self.0 = rest;
        Some(item)
    }

    pub(crate) fn of(&mut self, tag: Tag) -> Option<Any<'a>> {
        self.next().filter(|item| item.class() == Class::Universal && item.tag() == tag)
    }

    /// What is inside of an explicit tag of this number.
    pub(crate) fn tagged(&mut self, number: u32) -> Option<&'a [u8]> {
        let item = self.next()?;
        let is_it = item.class() == Class::ContextSpecific && item.tag() == Tag(number);
        is_it.then_some(item.data)
    }

    pub(crate) fn time(&mut self) -> Option<i64> {
        let (rest, time) = ASN1Time::from_der(self.0).ok()?;
        self.0 = rest;
        Some(time.timestamp())
    }
}
