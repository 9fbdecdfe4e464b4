//! What must hold between posts, deputies and administrators: pure.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use crate::{
    error::{Code, Error},
    http::permissions::Role,
    units::Level,
};

/// Whether a post with this role can stand on a level.
pub fn fits(role: Role, level: Level) -> bool {
    role.levels().contains(&level.as_str())
}

/// Whether `holder` would stand in for themselves, through any number of others, if `deputy` stood in for them.
pub fn circle(known: &[(Uuid, Uuid)], holder: Uuid, deputy: Uuid) -> bool {
    let mut stands_in: HashMap<Uuid, Vec<Uuid>> = HashMap::new();
    for (holder, deputy) in known {
        stands_in.entry(*holder).or_default().push(*deputy);
    }
    let (mut seen, mut ahead) = (HashSet::new(), vec![deputy]);
    while let Some(next) = ahead.pop() {
        if next == holder {
            return true;
        }
        if seen.insert(next) {
            ahead.extend(stands_in.get(&next).into_iter().flatten());
        }
    }
    false
}

/// The refusal of a circle, with its reason.
pub fn circle_error() -> Error {
    Error::new(Code::DeputyCircle).detail(
        "代理关系成环：若他们同时不在岗，就没有人接手。请另选代理人",
        "They would stand in for each other in a circle: with all of them away nobody is left. Choose somebody else",
    )
}

/// A role by its code or by what people call it.
pub fn role(text: &str) -> Option<Role> {
    let role = match text {
        "住村特派员" | "特派员" => Role::Specialist,
        "村干部" | "代办员" => Role::VillageCadre,
        "乡镇工作人员" => Role::TownshipStaff,
        "县直部门" => Role::DepartmentStaff,
        "督查" => Role::Supervisor,
        "县管理员" => Role::CountyAdmin,
        code => code.parse().ok()?,
    };
    (role != Role::Resident).then_some(role)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circles_of_any_length_are_seen() {
        let [a, b, c, d] = [1, 2, 3, 4].map(Uuid::from_u128);
        let known = [(a, b), (b, c), (d, c)];
        assert!(circle(&known, c, a));
        assert!(circle(&known, b, a));
        assert!(circle(&[], a, a));
        assert!(!circle(&known, a, c));
        assert!(!circle(&known, c, Uuid::nil()));
        // Two posts with different deputies.
        assert!(!circle(&known, a, d));
        assert!(circle(&[(a, b), (a, d), (d, c)], c, a));
    }

    #[test]
    fn levels() {
        assert!(fits(Role::VillageCadre, Level::Village) && !fits(Role::VillageCadre, Level::Township));
        assert!(fits(Role::Supervisor, Level::County) && fits(Role::Supervisor, Level::Township));
        assert!(Level::ALL.iter().all(|level| !fits(Role::Resident, *level)));
    }
}
