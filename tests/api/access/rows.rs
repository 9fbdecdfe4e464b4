//! One row for each operation: how it is called.

mod centre;
mod door;

/// Operation, method, path, body. `{r}` is a resident of 红星村, `{a}` their appointment in 均溪镇, `{m}` their message,
/// `{w}` a window there, `{t}` a matter, `{u}` 均溪镇, `{v}` 红星村, `{j}` a job, `{y}` who may act for `{r}`, `{o}` a todo of 红星村,
/// `{g}` 县残联, `{k}` the ID number of a child, `{d}` a data request of `{r}`, `{f}` a file and `{z}` an errand of theirs, `{q}` a mandate,
/// `{c}` an original that they handed over, `{l}` a trip, `{he}` an application to help, `{ra}` a rating of `{r}`, `{vi}` a visit of 红星村, `{fi}` a finding of it, `{vv}` another version of it, `{or}` an order of `{r}`, `{ok}` a kind of order, `{os}` a series of orders of `{r}`, `{hh}` a household of 红星村, `{vc}` a category of visits, `{e}` their entry of the waiting list.
pub type Row = (&'static str, &'static str, &'static str, &'static str);

/// Every row.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    centre::ROWS.iter().chain(door::ROWS)
}
