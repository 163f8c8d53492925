//! The HTTP/2 engine from outside: by the rules, under floods, against a referee, at random.

mod echo;
mod floods;
mod properties;
mod referee;
mod repeats;
mod rules;
mod wire;
