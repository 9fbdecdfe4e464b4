//! Plays the story against a running `make run`: prints each request and answer, and stops at the first surprise.
//!
//! `make demo`, or `cargo run --example demo -- http://127.0.0.1:8080`. It may be played again and again. It books and gives
//! back places of the sample county, and counts them: it expects to be the only visitor.

mod booking;
mod counter;
mod county;
mod elder;
mod errand;
mod faults;
mod hall;
mod help;
mod line;
mod office;
mod papers;
mod people;
mod phone;
mod print;
mod proxy;
mod resident;
mod rounds;
mod slots;
mod stage;
mod story;
mod trip;
mod visit;

use std::process::ExitCode;

use anyhow::{Context, Result};
use futures_util::future::LocalBoxFuture;

use stage::Stage;
use story::Story;

/// A room that wants to be shown adds its chapter to [`CHAPTERS`], and a file of its own.
struct Chapter {
    title: &'static str,
    /// What happens, in both languages.
    happens: &'static [&'static str],
    play: for<'a> fn(&'a mut Story) -> LocalBoxFuture<'a, Result<()>>,
}

/// In this order: a later chapter may need what an earlier one has left in the [`Story`].
const CHAPTERS: &[Chapter] = &[
    Chapter {
        title: "一个县 · A county",
        happens: &[
            "大田县的乡镇、村、事项，以及一件 9 月 25 日受理、5 个工作日办结的事项最迟何时办完（中间有中秋和国庆）。",
            "Towns, villages and matters of Datian, and when something accepted on 25 September is due in 5 working days.",
        ],
        play: |story| Box::pin(county::play(story)),
    },
    Chapter {
        title: "张小明登录 · Zhang logs in",
        happens: &[
            "张小明用微信登录、验证手机号、填写姓名；本人看到的是明文。先同意，才保存身份证号；撤回同意，号码随即删除。",
            "Zhang logs in with WeChat, proves his phone and gives his name; he sees his own data plain. His ID number is kept \
             once he agrees, and goes when he withdraws.",
        ],
        play: |story| Box::pin(resident::play(story)),
    },
    Chapter {
        title: "预约 · Booking",
        happens: &[
            "张小明挑一个时段预约，按钮按了两次也只约上一次；同一事项同一天不能再约；收到消息；最后取消，名额退回。",
            "Zhang picks a slot and books it; pressing twice books once, a second booking that day is refused, a message comes, \
             he cancels and the place is free again.",
        ],
        play: |story| Box::pin(booking::play(story)),
    },
    Chapter {
        title: "代办 · On somebody's behalf",
        happens: &[
            "陈阿婆没有智能手机：代办员为她登记、查找、代约，写明理由后才看得到她的电话。",
            "Granny Chen has no smartphone: the village cadre registers her, finds her, books for her, and sees her phone \
             only with a reason.",
        ],
        play: |story| Box::pin(proxy::play(story)),
    },
    Chapter {
        title: "老人与女儿 · An old man and his daughter",
        happens: &[
            "林大山没有手机：特派员为他登记，记下他口头的授权；在城里的女儿凭代码接受后代他预约，外人不能；通知送不到，\
             就成为村里的待办：打印纸条，送到他手上。",
            "Lin Dashan has no phone: his specialist registers him and writes down whom he lets act; his daughter in the city \
             accepts with a code and books for him, a stranger cannot; what reaches him on no channel becomes a todo: a \
             slip, printed and brought to him.",
        ],
        play: |story| Box::pin(elder::play(story)),
    },
    Chapter {
        title: "改期与候补 · Moving, and waiting",
        happens: &[
            "镇里为敬老月加开专窗。张小明先占位再预约，改期留下记录；约满的时段李秀英和王建国先后候补；张小明一取消，\
             名额就给排在前面的李秀英，谁也插不了队。",
            "The township opens an extra window. Zhang holds a place, books it and moves it, which leaves a history; Li and \
             Wang wait for what is full; when Zhang cancels, Li is asked first, and nobody passes the line.",
        ],
        play: |story| Box::pin(line::play(story)),
    },
    Chapter {
        title: "上门与停电 · A visit at home, and a power cut",
        happens: &[
            "网上约满了，代办员仍能为陈阿婆约上，又改为上门：地址写明理由才看得到。那天偏偏停电：先列出受影响的人，\
             再决定改到哪天，逐一通知。",
            "The public is full, yet an agent books for Granny Chen, then makes it a visit at home, whose address is seen \
             with a reason only. The power is cut that day: the affected are listed, then moved, and everybody is told.",
        ],
        play: |story| Box::pin(visit::play(story)),
    },
    Chapter {
        title: "大厅叫号 · In the hall",
        happens: &[
            "扫码取号、现场取号、叫号、重呼、办结；两个窗口抢叫一个号，只有一个成；大厅的屏只有号码，没有名字。",
            "A ticket by code and one without an appointment; called, called again, served, done; of two windows that call \
             the same ticket one wins; the screen in the hall shows numbers and no names.",
        ],
        play: |story| Box::pin(hall::play(story)),
    },
    Chapter {
        title: "代办一件事 · An errand",
        happens: &[
            "陈阿婆的高龄津贴：先问要带什么，口头委托记下原话，缺的材料一次说清，谁先接手谁负责，镇里决定，送到家中；每一步都在台账里，\
             时限逐日可查。",
            "An allowance for Granny Chen: what she needs, her mandate, what was missing told at once, the township decides, it \
             is brought home; every step is in the ledger, and every day of the count can be seen.",
        ],
        play: |story| Box::pin(errand::play(story)),
    },
    Chapter {
        title: "跑一趟县里 · A trip to the county",
        happens: &[
            "低保由县民政局决定：户口簿原件当面交接，同一部门的件收集归类一次送去，结果逐件带回；原件回到本人手里才算完。",
            "Her allowance is decided in the county: the register is handed over against a signature, what is for one bureau goes \
             in one journey, each result comes back, and it ends with the register in her hands.",
        ],
        play: |story| Box::pin(trip::play(story)),
    },
    Chapter {
        title: "照片与回复 · Photos, and the reply",
        happens: &[
            "张小明用手机拍下声明，随申请附上；代办员凭短时链接查看；证明随决定一起给出，原件送到家，本人签收，随后回访。",
            "Zhang files with a photo from his phone; the agent looks at it by a link that soon ends; the certificate comes with the \
             decision, the original is brought home, he acknowledges it, and is called back.",
        ],
        play: |story| Box::pin(papers::play(story)),
    },
    Chapter {
        title: "送餐上门 · A meal at the door",
        happens: &[
            "村干部替没有手机的陈阿婆订餐，特派员先接到，晚一步的被告知；接单后才看得到地址，送到后由别人代为确认和评价。",
            "The cadre orders a meal for Granny Chen, who has no phone; the specialist claims it first and only then sees where to              bring it; somebody else confirms it for her and writes down what she says of it.",
        ],
        play: |story| Box::pin(help::play(story)),
    },
    Chapter {
        title: "走访 · Going round",
        happens: &[
            "特派员出门前手机取下所需的一切；一天没有网络，手机的钟慢了三年，还遇到一户没登记过的；傍晚一次发出，发了两遍，每次走访只有一条；照片随后补传；\
             有了走访，任务自己完成；走访发现的诉求一步转成代办件；手机再取一次变化；督查员只看到数字。",
            "The specialist's phone fetches what it needs; no network on the round, a clock three years slow, a household that nobody knew; in \
             the evening all of it is sent, twice, and each visit is there once; a photo follows; a task is resolved because a visit is there; \
             what a visit found becomes an errand in one call; the phone fetches what has changed; a supervisor sees numbers only.",
        ],
        play: |story| Box::pin(rounds::play(story)),
    },
    Chapter {
        title: "县管理员 · The county's office",
        happens: &[
            "县管理员定下明天起生效的设置，用一次性密码为新同事开通账号，同事离职时一步交接，并查看谁看过林大山的资料。",
            "The administrator changes a setting from tomorrow on, opens a colleague's account with a one-time password, \
             dismisses the colleague with everything handed over in one call, and sees who looked at Lin Dashan.",
        ],
        play: |story| Box::pin(office::play(story)),
    },
    Chapter {
        title: "出错时 · What goes wrong",
        happens: &[
            "每一种错误都有固定的代码和两种语言的说明；一次列出全部填错的字段。",
            "Every error has a code that never changes and words in both languages; all wrong fields are told at once.",
        ],
        play: |story| Box::pin(faults::play(story)),
    },
];

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let url = std::env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:8080".into());
    match play(&url).await {
        Ok(requests) => {
            println!("\nplayed {requests} requests, all as expected · 共 {requests} 个请求，全部符合预期");
            ExitCode::SUCCESS
        }
        Err(surprise) => {
            eprintln!("\ndemo: {surprise:#}");
            ExitCode::FAILURE
        }
    }
}

/// Every chapter in turn; how many requests it took.
async fn play(url: &str) -> Result<usize> {
    let mut story = Story::new(Stage::at(url).await?);
    for (number, chapter) in (1..).zip(CHAPTERS) {
        println!("\n━━━ {number}. {}", chapter.title);
        for line in chapter.happens {
            println!("    {line}");
        }
        (chapter.play)(&mut story).await.with_context(|| format!("chapter {number} ({})", chapter.title))?;
    }
    Ok(story.stage.requests())
}
