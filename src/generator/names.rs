//! Names as people in the hills of Fujian have them.

use super::dice::Dice;

/// By weight.
const SURNAMES: &[(u32, &str)] = &[
    (14, "林"),
    (12, "陈"),
    (9, "郑"),
    (8, "吴"),
    (7, "范"),
    (6, "连"),
    (6, "张"),
    (5, "李"),
    (5, "王"),
    (5, "蒋"),
    (4, "廖"),
    (4, "杨"),
    (4, "黄"),
    (3, "罗"),
    (3, "田"),
    (3, "池"),
    (3, "卢"),
    (2, "章"),
    (2, "乐"),
    (2, "严"),
    (2, "肖"),
    (1, "涂"),
    (1, "欧阳"),
];

const OLD_WOMEN: &[char] =
    &['秀', '英', '兰', '玉', '珍', '凤', '金', '梅', '桂', '香', '春', '莲', '美', '月', '菊', '珠'];
const OLD_MEN: &[char] =
    &['建', '国', '文', '德', '明', '荣', '生', '金', '水', '木', '土', '发', '财', '庆', '福', '祥'];
const YOUNG_WOMEN: &[char] =
    &['婷', '雨', '欣', '怡', '静', '佳', '颖', '雪', '琳', '梦', '思', '晓', '丽', '诗', '雅', '琪'];
const YOUNG_MEN: &[char] =
    &['伟', '杰', '宇', '浩', '鑫', '俊', '涛', '磊', '鹏', '志', '辉', '凯', '晨', '博', '斌', '峰'];

/// A name that fits sex and age.
pub fn person(dice: &mut Dice, woman: bool, age: i64) -> String {
    let given = match (woman, age >= 45) {
        (true, true) => OLD_WOMEN,
        (false, true) => OLD_MEN,
        (true, false) => YOUNG_WOMEN,
        (false, false) => YOUNG_MEN,
    };
    let mut name = (*dice.weighted(SURNAMES)).to_owned();
    name.push(*dice.pick(given));
    if dice.percent(80) {
        name.push(*dice.pick(given));
    }
    name
}
