//! Residents: most of them registered at the desk with an ID number that an officer saw, the others by WeChat.

use std::collections::HashMap;

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use diesel::prelude::*;
use uuid::Uuid;

use super::{BATCH, Dice, World, centres::Centre, names};
use crate::{
    consents::{Answered, How, Purpose},
    db::schema::{consents, residents},
    people::{IdentityLevel, IdentitySeen, searched_name},
};

#[derive(Insertable)]
#[diesel(table_name = residents, treat_none_as_default_value = false)]
struct NewResident {
    county_id: i32,
    id: Uuid,
    unit_id: Option<Uuid>,
    name: Option<Vec<u8>>,
    name_index: Option<Vec<u8>>,
    id_number: Option<Vec<u8>>,
    id_number_index: Option<Vec<u8>>,
    phone: Option<Vec<u8>>,
    phone_index: Option<Vec<u8>>,
    wechat_openid: Option<Vec<u8>>,
    wechat_openid_index: Option<Vec<u8>>,
    identity_level: IdentityLevel,
    identity_seen: Option<IdentitySeen>,
    registered_by: Option<Uuid>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

#[derive(Insertable)]
#[diesel(table_name = consents, treat_none_as_default_value = false)]
struct NewConsent {
    county_id: i32,
    id: Uuid,
    resident_id: Uuid,
    purpose: Purpose,
    version: i64,
    answer: Answered,
    how: How,
    by_staff: Option<Uuid>,
    at: DateTime<Utc>,
}

/// What a resident says, before it is sealed.
struct Person {
    name: String,
    id_number: Option<String>,
    phone: Option<String>,
    openid: Option<String>,
    level: IdentityLevel,
    seen: Option<IdentitySeen>,
}

/// Sequence numbers of a birthday that are taken; those below 20 are left to tests and demonstrations.
#[derive(Default)]
struct Numbers(HashMap<(NaiveDate, bool), u32>);

impl Numbers {
    /// An ID number of somebody born on this day, or on the next one with numbers left.
    fn next(&mut self, mut born: NaiveDate, woman: bool) -> String {
        let mut sequence = 1_000;
        while sequence > 999 {
            let taken = self.0.entry((born, woman)).or_default();
            sequence = 20 + 2 * *taken + u32::from(!woman);
            *taken += 1;
            if sequence > 999 {
                born = born.checked_add_days(Days::new(1)).unwrap_or(born);
            }
        }
        number(&format!("350425{}{sequence:03}", born.format("%Y%m%d")))
    }
}

/// Seventeen digits and their check character (GB 11643).
fn number(digits: &str) -> String {
    const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let sum: u32 = digits.bytes().zip(WEIGHTS).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
    format!("{digits}{}", char::from(b"10X98765432"[(sum % 11) as usize]))
}

/// Ages from 14 on: the young work elsewhere, the old are at home.
fn age(dice: &mut Dice) -> i64 {
    let (least, most) =
        *dice.weighted(&[(10, (14, 24)), (20, (25, 44)), (32, (45, 59)), (28, (60, 74)), (10, (75, 95))]);
    dice.between(least, most)
}

fn person(world: &World, number: usize, numbers: &mut Numbers) -> Person {
    let mut dice = world.dice("resident", number);
    let (woman, age) = (dice.percent(49), age(&mut dice));
    // A day more than the years: nobody is 13 today.
    let born = world.today - TimeDelta::days(age * 366 + dice.between(1, 360));
    let at_desk = dice.percent(70);
    let reached = dice.percent(if age >= 75 { 50 } else { 90 });
    let phone =
        format!("1{}{:08}", dice.pick(&["38", "39", "50", "59", "87", "86", "33", "77"]), dice.between(0, 99_999_999));
    let on_wechat = !at_desk || age < 65 && dice.percent(35);
    let (level, seen) = match (at_desk, reached) {
        (true, _) => {
            let seen = [
                (85, IdentitySeen::IdCard),
                (10, IdentitySeen::HouseholdRegister),
                (5, IdentitySeen::SocialSecurityCard),
            ];
            (IdentityLevel::Officer, Some(*dice.weighted(&seen)))
        }
        (false, true) => (IdentityLevel::Phone, None),
        (false, false) => (IdentityLevel::None, None),
    };
    Person {
        name: names::person(&mut dice, woman, age),
        id_number: at_desk.then(|| numbers.next(born, woman)),
        phone: reached.then_some(phone),
        // The fake WeChat's: whoever logs in with the code login.p7.<anything> is resident 7.
        openid: on_wechat.then(|| format!("o-p{number}")),
        level,
        seen,
    }
}

fn row(world: &World, number: usize, centre: &Centre, person: Person) -> NewResident {
    let (county, id, at, keys) = (world.county, world.resident(number), world.registered(number), &world.app.keys);
    let sealed = |field: &str, value: &Option<String>| {
        value.as_ref().map(|value| keys.seal(county, &format!("residents.{field}/{id}"), value.as_bytes()))
    };
    let index = |field: &str, value: &Option<String>| value.as_ref().map(|value| keys.blind(county, field, value));
    NewResident {
        county_id: county,
        id,
        unit_id: Some(centre.unit),
        name_index: index("name", &Some(searched_name(&person.name))),
        name: sealed("name", &Some(person.name)),
        id_number: sealed("id_number", &person.id_number),
        id_number_index: index("id_number", &person.id_number),
        phone: sealed("phone", &person.phone),
        phone_index: index("phone", &person.phone),
        wechat_openid: sealed("wechat_openid", &person.openid),
        wechat_openid_index: index("wechat_openid", &person.openid),
        identity_level: person.level,
        identity_seen: person.seen,
        registered_by: person.seen.map(|_| centre.officer),
        created_at: at,
        updated_at: at,
    }
}

fn copy_residents(conn: &mut PgConnection, rows: &[NewResident]) -> QueryResult<usize> {
    diesel::copy_from(residents::table).from_insertable(rows).execute(conn)
}

fn copy_consents(conn: &mut PgConnection, rows: &[NewConsent]) -> QueryResult<usize> {
    diesel::copy_from(consents::table).from_insertable(rows).execute(conn)
}

pub async fn make(world: &World) -> anyhow::Result<usize> {
    let (mut numbers, mut made) = (Numbers::default(), 0);
    let (mut people, mut consents) = (Vec::with_capacity(BATCH), Vec::with_capacity(BATCH));
    for centre in world.centres.iter().filter(|centre| !centre.township) {
        for number in centre.people.0..centre.people.1 {
            let row = row(world, number, centre, person(world, number, &mut numbers));
            if let (Some(version), Some(_)) = (world.facts.consent, &row.id_number) {
                consents.push(NewConsent {
                    county_id: world.county,
                    id: world.dice("consent", number).id(row.created_at),
                    resident_id: row.id,
                    purpose: Purpose::IdNumber,
                    version,
                    answer: Answered::Given,
                    how: How::Signed,
                    by_staff: Some(centre.officer),
                    at: row.created_at,
                });
            }
            people.push(row);
            if people.len() == BATCH {
                made += world.put(std::mem::take(&mut people), copy_residents).await?;
                world.put(std::mem::take(&mut consents), copy_consents).await?;
            }
        }
    }
    made += world.put(people, copy_residents).await?;
    world.put(consents, copy_consents).await?;
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::people::IdNumber;

    #[test]
    fn numbers_are_right_and_never_twice() {
        let (mut numbers, day) = (Numbers::default(), "1960-02-29".parse().expect("a day"));
        let mut seen = std::collections::HashSet::new();
        // More than a day has: they go on with the next.
        for woman in [true, false].repeat(600) {
            let number = numbers.next(day, woman);
            let parsed: IdNumber = number.parse().expect("a number with a right check character");
            assert!((parsed.born() - day).num_days() <= 1, "{number}");
            assert_eq!(number.as_bytes()[16] % 2 == 0, woman, "{number}");
            assert!(seen.insert(number.clone()), "{number} twice");
        }
    }
}
