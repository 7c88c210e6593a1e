//! What `wit_bindgen` makes of the world `flowhost:task/imports`. Only `host` and the modules that
//! re-export a type of it look in here.

#![expect(missing_docs, reason = "wit_bindgen documents no methods of the errors that it makes")]

wit_bindgen::generate!({
    path: "../wit",
    world: "imports",
    additional_derives: [PartialEq, Eq],
    generate_unused_types: true,
});
