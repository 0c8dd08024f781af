//! `ox team`: the teams whose contexts a project keeps on its people's machines.

use serde_json::{Value, json};

use super::sync::show;
use crate::cli::clones::{self, CloneFacts};
use crate::cli::context::Cx;
use crate::cli::errors::{of_project, of_setup};
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::live::{Seen, probe};
use crate::cli::ui::text::{Table, clean, relative, tilde};
use crate::cli::{team_clone, trust};
use crate::ipc::client::Client;
use crate::kit::cancel::Cancel;
use crate::project::{Project, RemoteUrl, Team};
use crate::sync::{self, AddedTeam, SetupError, Site, TeamRef};

/// Flags of `ox team`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ox team add platform=git@example.com:platform/context.git\n  ox team list\n  ox team remove platform"
)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

/// What to do with the teams.
#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Add a team: clone its context and name it in .sageox/config.json
    #[command(
        after_help = "Examples:\n  ox team add platform=git@example.com:platform/context.git\n  ox team add design=/srv/git/design.git --name Design\n\nAn empty remote gets its first files. The clone is shared by all projects on this machine that name the team."
    )]
    Add(Add),
    /// Remove a team from .sageox/config.json; its clone stays
    #[command(after_help = "Examples:\n  ox team remove platform")]
    Remove(Remove),
    /// List the teams and the state of their clones; never starts the daemon
    #[command(after_help = "Examples:\n  ox team list\n  ox team list --json")]
    List,
}

/// Flags of `ox team add`.
#[derive(Debug, clap::Args)]
struct Add {
    /// Id of the team and git remote of its context: https, ssh or a path
    #[arg(value_name = "ID=URL")]
    team: String,
    /// Name of the team for people
    #[arg(long)]
    name: Option<String>,
    /// Trust the remote's host without asking
    #[arg(short, long)]
    yes: bool,
}

/// Flags of `ox team remove`.
#[derive(Debug, clap::Args)]
struct Remove {
    /// Id or name of the team
    #[arg(value_name = "TEAM")]
    team: String,
    /// Also remove its clone from this machine
    #[arg(long)]
    clone: bool,
    /// With --clone: even if the clone has commits or files that exist only here
    #[arg(long, requires = "clone")]
    force: bool,
    /// Remove the clone without asking
    #[arg(short, long, requires = "clone")]
    yes: bool,
}

/// Does it.
pub fn run(cx: &Cx, args: &Args) -> Outcome {
    match &args.command {
        Command::Add(args) => add(cx, args),
        Command::Remove(args) => remove(cx, args),
        Command::List => list(cx),
    }
}

/// A team as it is named on the command line.
#[derive(Clone, Debug)]
pub struct Named {
    id: String,
    remote: RemoteUrl,
}

impl Named {
    /// Reads `<id>=<URL>`.
    ///
    /// # Errors
    /// It has another form, or the address is not one that may be used.
    pub fn parse(word: &str) -> Outcome<Named> {
        let malformed = || {
            Failure::new(Exit::Usage, "a team is given as <id>=<URL>")
                .on(word)
                .hint("ox team add platform=git@example.com:platform/context.git")
        };
        let (id, url) = word.split_once('=').ok_or_else(malformed)?;
        if id.is_empty() || url.is_empty() {
            return Err(malformed());
        }
        crate::project::check_team_id(id).map_err(|e| of_project(&e))?;
        Ok(Named { id: id.to_owned(), remote: trust::parse(url)? })
    }
}

/// A team that was added.
#[derive(Clone, Debug)]
pub struct Done {
    team: Team,
    shown: String,
    added: AddedTeam,
    /// What it was called before, if it was called otherwise.
    renamed_from: Option<String>,
}

impl Done {
    /// The team in the documents of `--json`.
    pub fn to_json(&self) -> Value {
        json!({
            "team_id": self.team.team_id, "team_name": self.team.name, "path": self.added.path,
            "remote": self.shown, "already_named": self.added.already, "seeded": self.added.seeded,
        })
    }

    /// The same for people, the first line naming the team.
    pub fn lines(&self, cx: &Cx) -> Vec<String> {
        let label = clean(label(&self.team));
        let mut lines = vec![match (&self.renamed_from, self.added.already) {
            (Some(old), _) => format!("renamed team {} to {label}", clean(old)),
            (None, true) => format!("team {label} is there already"),
            (None, false) => format!("added team {label}"),
        }];
        lines.push(format!("  remote   {}", tilde(&self.shown, &cx.home())));
        lines.push(format!("  context  {}", tilde(&self.added.path.to_string_lossy(), &cx.home())));
        if self.added.seeded {
            lines.push("  initialised the empty remote".into());
        }
        lines
    }
}

fn label(team: &Team) -> &str {
    if team.name.is_empty() { &team.team_id } else { &team.name }
}

/// Adds a team to the project: asks about a new host, clones, names it, makes the project's links. A daemon that runs hears of it.
///
/// # Errors
/// Nobody agreed to the host, another team goes by that id, or the clone failed; then the project does not name it.
pub fn add_to(cx: &Cx, project: &Project, named: &Named, name: Option<&str>, yes: bool) -> Outcome<Done> {
    let known = project.config.teams().into_iter().find(|t| t.team_id == named.id);
    let renamed_from =
        known.as_ref().filter(|t| name.is_some_and(|name| name != t.name)).map(|t| label(t).to_owned());
    let name = name.map(str::to_owned).or(known.map(|t| t.name)).unwrap_or_default();
    let team = Team { team_id: named.id.clone(), name, url: named.remote.as_str().to_owned() };
    trust::ensure_team(cx, label(&team), &named.remote, yes)?;
    let site = Site::new(cx.dirs.clone(), cx.env.clone());
    let progress = cx.ui.progress(&format!("adding team {}", label(&team)));
    let mut tell = |_: &str, percent: Option<u8>, text: &str| progress.phase(text, percent);
    let added = sync::add_team(&site, &project.root, &team, &mut tell, &Cancel::new());
    drop(progress);
    let added = added.map_err(|e| of_setup("the team could not be added", &e))?;
    let project = Project::load(&project.root, &cx.env).map_err(|e| of_project(&e))?;
    for problem in sync::load(&site, &project, None).problems {
        cx.ui.warn(&problem);
    }
    if let Some(client) = running(cx, &project) {
        let progress = cx.ui.progress("telling the daemon");
        let told = client.team_sync(&team.team_id, |p| show(&progress, &p));
        drop(progress);
        if let Err(e) = told {
            cx.ui.warn(&format!("the daemon will find the team later: {e}"));
        }
    }
    Ok(Done { shown: named.remote.display(), team, added, renamed_from })
}

/// The daemon, if it serves the project now.
pub fn running(cx: &Cx, project: &Project) -> Option<Client> {
    match probe(cx, Some(project)) {
        Ok(Seen::Running { client, .. }) => Some(client),
        Ok(Seen::Absent(_)) | Err(_) => None,
    }
}

fn add(cx: &Cx, args: &Add) -> Outcome {
    let named = Named::parse(&args.team)?;
    let project = cx.project()?;
    let done = add_to(cx, &project, &named, args.name.as_deref(), args.yes)?;
    if cx.ui.json() {
        return cx.ui.document(&json!({ "success": true, "team": done.to_json() }));
    }
    cx.ui.done(&done.lines(cx).join("\n"))?;
    if !done.added.already || done.renamed_from.is_some() {
        cx.ui.next_step(&format!("git add .sageox && git commit -m 'Add team {}'", done.team.team_id));
    }
    Ok(())
}

/// The team of the project that somebody means by `word`.
///
/// # Errors
/// None does, or several do.
pub fn find(loaded: &sync::Loaded, word: &str) -> Outcome<TeamRef> {
    let mut found = loaded.registry().find(word);
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(Failure::new(Exit::Usage, "no such team")
            .on(word)
            .hint("ox team list")
            .with("team_contexts", json!([{ "team_id": word, "status": "unknown" }]))),
        _ => {
            let one = |t: &TeamRef| json!({ "team_id": t.id, "team_name": t.name, "status": "ambiguous" });
            let ids: Vec<&str> = found.iter().map(|t| t.id.as_str()).collect();
            Err(Failure::new(Exit::Usage, "several teams have this name")
                .on(word)
                .because_of(format!("it may be {}", ids.join(" or ")))
                .hint(format!("the same command with {}", ids[0]))
                .with("team_contexts", found.iter().map(one).collect()))
        }
    }
}

fn remove(cx: &Cx, args: &Remove) -> Outcome {
    let project = cx.project()?;
    if args.clone {
        return team_clone::remove(cx, &project, &args.team, args.force, args.yes);
    }
    let what = "the team could not be removed";
    if !project.endpoint.is_local() {
        let endpoint = project.endpoint.as_str().to_owned();
        return Err(of_setup(what, &SetupError::TeamsByServer(endpoint)));
    }
    let site = Site::new(cx.dirs.clone(), cx.env.clone());
    let team = find(&sync::load_local(&site, &project), &args.team)?;
    drop_from(cx, &site, &project, &team.id)?;
    let clone = cx.dirs.team(&project.slug, &team.id);
    let stays = std::fs::symlink_metadata(&clone).is_ok();
    if cx.ui.json() {
        return cx.ui.document(&json!({
            "success": true, "team_id": team.id, "team_name": team.name, "path": clone, "clone_stays": stays,
        }));
    }
    cx.ui.done(&format!("removed team {} from this project", clean(team.label())))?;
    if stays {
        let path = tilde(&clone.to_string_lossy(), &cx.home());
        cx.ui.done(&format!(
            "  its clone stays at {path}\n  to remove that as well: ox team remove {} --clone",
            team.id
        ))?;
    }
    cx.ui.next_step(&format!("git add .sageox && git commit -m 'Remove team {}'", team.id));
    Ok(())
}

/// Takes a team out of the project's files and links, and has a daemon that runs read them. True if the project named it.
///
/// # Errors
/// The files cannot be read or written.
pub fn drop_from(cx: &Cx, site: &Site, project: &Project, id: &str) -> Outcome<bool> {
    let what = "the team could not be removed";
    let named = sync::drop_team(site, &project.root, id).map_err(|e| of_setup(what, &e))?;
    let project = Project::load(&project.root, &cx.env).map_err(|e| of_project(&e))?;
    for problem in sync::load(site, &project, None).problems {
        cx.ui.warn(&problem);
    }
    if let Some(client) = running(cx, &project) {
        // It reads the project's files before it answers. That it knows no such team is what is wanted.
        let _ = client.team_sync(id, |_| ());
    }
    Ok(named)
}

fn list(cx: &Cx) -> Outcome {
    let project = cx.project()?;
    let live = match probe(cx, Some(&project)) {
        Ok(Seen::Running { data, .. }) => Some(data),
        Ok(Seen::Absent(_)) | Err(_) => None,
    };
    let (_, found) = clones::teams_of_project(cx, &project, live.as_deref());
    if cx.ui.json() {
        return cx.ui.document(&json!({
            "teams": found.teams, "daemon": { "running": live.is_some() }, "problems": found.problems,
        }));
    }
    for problem in &found.problems {
        cx.ui.warn(problem);
    }
    if found.teams.is_empty() {
        let path = crate::project::Config::path(&project.root);
        let path = tilde(&path.to_string_lossy(), &cx.home());
        cx.ui.note(&format!("no teams: {path} names none"));
        cx.ui.next_step("ox team add <id>=<URL>");
        return Ok(());
    }
    let now = cx.now();
    let mut table = Table::new(&["TEAM", "NAME", "STATE", "SYNCED", "NAMED BY", "CONTEXT"]);
    for team in &found.teams {
        let synced = team.last_sync.map_or_else(|| "never".to_owned(), |t| relative(t, now));
        let path = tilde(&team.path.to_string_lossy(), &cx.home());
        let state = team.status.words().to_owned();
        table.row([team.id.clone(), team.name.clone(), state, synced, team.sources.join(", "), path]);
        if let Some(tone) = team.status.tone() {
            table.tone(2, tone);
        }
    }
    let errors = found.teams.iter().filter(|t| !t.error.is_empty());
    let mut lines = table.lines(cx.ui.width(), cx.ui.paint());
    lines.extend(errors.map(|t: &CloneFacts| format!("{}: {}", clean(&t.id), clean(&t.error))));
    cx.ui.print(&lines.join("\n"))
}
