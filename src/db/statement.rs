//! Hand-written SQL that is prepared once per connection, like diesel's own queries (`sql_query` is planned anew each time).

/// Declares a statement as a struct of its binds; `{name}` in the SQL is the bind of that name, any number of times.
#[macro_export]
macro_rules! statement {
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($bind:ident: $rust:ty as $sql:ty),+ $(,)? } $text:expr) => {
        $(#[$meta])*
        #[derive(Clone, Debug)]
        $vis struct $name { $(pub $bind: $rust),+ }

        impl $name {
            /// The text, with `{bind}` for the binds.
            pub const SQL: &'static str = $text;
        }

        impl diesel::query_builder::QueryFragment<diesel::pg::Pg> for $name {
            fn walk_ast<'b>(&'b self, mut out: diesel::query_builder::AstPass<'_, 'b, diesel::pg::Pg>) -> diesel::QueryResult<()> {
                let mut rest = Self::SQL;
                while let Some((before, after)) = rest.split_once('{') {
                    let (bind, after) = after.split_once('}').unwrap_or((after, ""));
                    out.push_sql(before);
                    match bind {
                        $(stringify!($bind) => out.push_bind_param::<$sql, $rust>(&self.$bind)?,)+
                        _ => return Err(diesel::result::Error::QueryBuilderError(format!("no bind {bind}").into())),
                    }
                    rest = after;
                }
                out.push_sql(rest);
                Ok(())
            }
        }

        impl diesel::query_builder::QueryId for $name {
            type QueryId = Self;
            const HAS_STATIC_QUERY_ID: bool = true;
        }

        impl diesel::query_builder::Query for $name {
            type SqlType = diesel::sql_types::Untyped;
        }

        impl<C> diesel::RunQueryDsl<C> for $name {}
    };
}

/// A row of a [`statement!`] of which many are read at once: each column is read where it stands, and looked for by its name only where
/// another stands there, since looking for forty names in forty costs more than reading them.
#[macro_export]
macro_rules! row {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$doc:meta])* $field:ident: $rust:ty as $sql:ty $(= $via:ty)?),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Debug)]
        pub struct $name { $($(#[$doc])* pub $field: $rust),+ }

        impl diesel::deserialize::QueryableByName<diesel::pg::Pg> for $name {
            fn build<'a>(row: &impl diesel::row::NamedRow<'a, diesel::pg::Pg>) -> diesel::deserialize::Result<Self> {
                use diesel::{deserialize::FromSql, pg::Pg, row::Field};
                let mut places = 0..;
                $(let $field = {
                    let there = places.next().and_then(|place: usize| diesel::row::Row::get(row, place));
                    let named = there.filter(|field| field.field_name() == Some(stringify!($field)));
                    let field = named.or_else(|| diesel::row::Row::get(row, stringify!($field)));
                    let field = field.ok_or_else(|| diesel::result::Error::DeserializationError(concat!("no column ", stringify!($field)).into()))?;
                    $crate::row!(@as $rust, $sql $(, $via)?; field.value())
                };)+
                Ok(Self { $($field),+ })
            }
        }
    };
    (@as $rust:ty, $sql:ty; $value:expr) => { <$rust as FromSql<$sql, Pg>>::from_nullable_sql($value)? };
    (@as $rust:ty, $sql:ty, $via:ty; $value:expr) => { <$via as FromSql<$sql, Pg>>::from_nullable_sql($value)?.into() };
}
