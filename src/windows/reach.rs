//! Whose hall it is: the one condition under which staff see and move what happens at a centre.

/// Of the unit of one's post and the units below it, or of a centre where one sits at an open window, as its officer or as the deputy
/// of an officer who is away (AB 岗).
macro_rules! may {
    ($of:literal) => {
        concat!(
            " AND ({within}::uuid IS NULL OR unit_within({county}, ",
            $of,
            ".unit_id, {within}) OR EXISTS (SELECT FROM windows o WHERE o.county_id = {county} AND o.unit_id = ",
            $of,
            ".unit_id AND o.state = 'open' AND (o.officer_id = {me} OR EXISTS (SELECT FROM staff_posts d WHERE d.county_id = {county} \
               AND d.staff_id = o.officer_id AND d.deputy_id = {me} AND d.ended_at IS NULL AND NOT staff_present({county}, o.officer_id, {today})))))"
        )
    };
}

pub(crate) use may;
