//! The store of compiled kernels: whatever happens to its files, what it hands out is what was put in, and nothing that
//! goes wrong is more than a miss.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use support::Rng;
use weft::device::cuda::store::{Key, Store, digest};

const LARGE: u64 = 1 << 30;

/// An empty private folder of this name, not there yet.
fn place(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cache-{name}"));
    let _ = fs::remove_dir_all(&folder);
    folder
}

fn key(number: u64) -> Key {
    digest(&[b"test", &number.to_le_bytes()])
}

/// A content that tells by itself whether all of it is there: who wrote it, over and over, as often as that says.
fn content(writer: u8, number: u64) -> Vec<u8> {
    vec![writer; 64 + (number * 977 % 5000) as usize + usize::from(writer)]
}

fn whole(found: &[u8], number: u64) -> bool {
    found.first().is_some_and(|&writer| found == content(writer, number))
}

/// The names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    entries.map(|name| name.into_string().unwrap()).collect()
}

fn only_file(folder: &Path) -> PathBuf {
    let [name] = &names(folder)[..] else { panic!("{:?}", names(folder)) };
    folder.join(name)
}

/// One way to damage bytes; never leaves them as they were.
fn damaged(rng: &mut Rng, good: &[u8], other: &[u8]) -> Vec<u8> {
    let at = rng.next() as usize % good.len();
    let mut bad = good.to_vec();
    match rng.next() % 6 {
        0 | 1 => bad[at] ^= 1 << (rng.next() % 8),
        2 => bad.truncate(at),
        3 => bad.extend(std::iter::repeat_n(rng.next() as u8, 1 + at % 100)),
        4 => bad[at..].iter_mut().for_each(|byte| *byte = !*byte),
        _ => bad = other.to_vec(),
    }
    bad
}

#[test]
fn damaged_entries_are_never_accepted() {
    let folder = place("damaged");
    let store = Store::open(&folder, LARGE).unwrap();
    let mut rng = Rng(11);
    let kept: Vec<u8> = (0..700).map(|_| rng.next() as u8).collect();
    store.put(&key(1), &kept).unwrap();
    let file = only_file(&folder);
    let good = fs::read(&file).unwrap();
    store.put(&key(2), &kept).unwrap();
    let other = names(&folder).into_iter().map(|name| folder.join(name)).find(|path| *path != file).unwrap();
    let other = fs::read(other).unwrap();
    for round in 0..10_000 {
        let bad = damaged(&mut rng, &good, &other);
        fs::write(&file, &bad).unwrap();
        assert_eq!(store.get(&key(1)), None, "round {round}");
        assert!(!file.exists(), "round {round}: a bad entry is removed");
    }
    fs::write(&file, &good).unwrap();
    assert_eq!(store.get(&key(1)).as_deref(), Some(&kept[..]), "the good one is taken");
    println!("10000 damaged entries, 0 accepted");
}

/// What the children of the next two tests do: puts entries as the number of their writer says, and checks what is there.
#[test]
fn child() {
    let Some(folder) = std::env::var_os("WEFT_STORE") else {
        return println!("skipped: part of other tests, which run it in processes of its own");
    };
    let number = |name: &str| std::env::var(name).unwrap().parse::<u64>().unwrap();
    let (writer, turns) = (number("WEFT_WRITER"), number("WEFT_TURNS"));
    if std::env::var_os("WEFT_FILE_SIZE").is_some() {
        let most = libc::rlimit { rlim_cur: 1000, rlim_max: 1000 };
        // SAFETY: a signal that is ignored, and a limit of this process's files.
        unsafe { (libc::signal(libc::SIGXFSZ, libc::SIG_IGN), libc::setrlimit(libc::RLIMIT_FSIZE, &most)) };
    }
    let store = Store::open(Path::new(&folder), LARGE).unwrap();
    println!("begun");
    let (mut rng, mut hits, mut kept) = (Rng(writer + 1), 0, 0);
    for _ in 0..turns {
        let number = rng.next() % 12;
        kept += u32::from(store.put(&key(number), &content(writer as u8, number)).is_ok());
        let other = rng.next() % 12;
        if let Some(found) = store.get(&key(other)) {
            assert!(whole(&found, other), "entry {other} is torn");
            hits += 1;
        }
    }
    println!("kept {kept} hits {hits}");
}

fn spawn(folder: &Path, writer: u64, turns: u64, more: &[(&str, &str)]) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child", "--nocapture"]).env("WEFT_STORE", folder);
    command.env("WEFT_WRITER", writer.to_string()).env("WEFT_TURNS", turns.to_string());
    command.envs(more.iter().copied()).stdout(Stdio::piped()).spawn().unwrap()
}

/// All entries there are whole; how many.
fn all_whole(store: &Store) -> usize {
    let found = (0..12).filter_map(|number| Some((number, store.get(&key(number))?)));
    found.inspect(|(number, found)| assert!(whole(found, *number), "entry {number} is torn")).count()
}

#[test]
fn eight_processes_write_at_once() {
    let folder = place("eight");
    let children: Vec<_> = (0..8).map(|writer| spawn(&folder, writer, 60, &[])).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && text.contains("kept 60 hits"), "{text}");
    }
    let store = Store::open(&folder, LARGE).unwrap();
    assert_eq!(all_whole(&store), 12);
    assert!(names(&folder).iter().all(|name| name.ends_with(".cubin")), "{:?}", names(&folder));
}

#[test]
fn writers_that_are_killed_leave_nothing_that_is_taken() {
    use std::io::Read;
    let folder = place("killed");
    let (mut rng, mut left) = (Rng(5), 0);
    for round in 0..60 {
        let mut child = spawn(&folder, round, 1_000_000, &[]);
        let mut begun = [0; 200];
        while !String::from_utf8_lossy(&begun).contains("begun") {
            assert!(child.stdout.as_mut().unwrap().read(&mut begun).unwrap() > 0);
        }
        std::thread::sleep(Duration::from_micros(rng.next() % 8000));
        child.kill().unwrap();
        child.wait().unwrap();
        all_whole(&Store::open(&folder, LARGE).unwrap());
        left += names(&folder).iter().filter(|name| name.ends_with(".tmp")).count();
    }
    let store = Store::open(&folder, LARGE).unwrap();
    store.put(&key(0), &content(1, 0)).unwrap();
    assert!(names(&folder).iter().all(|name| name.ends_with(".cubin")), "{:?}", names(&folder));
    println!("60 writers killed, {left} torn files seen and swept");
}

#[test]
fn a_limit_of_file_sizes_is_a_miss() {
    let folder = place("limited");
    let output = spawn(&folder, 3, 60, &[("WEFT_FILE_SIZE", "1000")]).wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains("kept "), "{text}");
    assert!(!text.contains("kept 60 "), "some are larger than the limit: {text}");
    all_whole(&Store::open(&folder, LARGE).unwrap());
    assert!(names(&folder).iter().all(|name| name.ends_with(".cubin")), "{:?}", names(&folder));
}

#[test]
fn a_full_disk_is_a_miss() {
    let folder = place("full");
    fs::create_dir_all(&folder).unwrap();
    let mount =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k,mode=700", "weft"]).arg(&folder).output();
    let Ok(true) = mount.as_ref().map(|output| output.status.success()) else {
        return println!("skipped: no small file system can be mounted here: {mount:?}");
    };
    let store = Store::open(&folder, LARGE).unwrap();
    let answers: Vec<bool> =
        (0..12).map(|number| store.put(&key(number), &vec![7; 9000 + number as usize]).is_ok()).collect();
    let found = (0..12).map(|number| store.get(&key(number)).map(|found| found.len()));
    let right =
        found.zip(&answers).enumerate().all(|(number, (found, kept))| found == kept.then_some(9000 + number));
    let temporary = names(&folder).iter().any(|name| name.ends_with(".tmp"));
    let unmounted = Command::new("umount").arg("-l").arg(&folder).status().unwrap().success();
    assert!(answers[0] && !answers[11] && right && !temporary && unmounted, "{answers:?}");
}

#[test]
fn the_oldest_entries_make_room() {
    let folder = place("bounded");
    let store = Store::open(&folder, 10_000).unwrap();
    let total =
        || -> u64 { names(&folder).iter().map(|name| fs::metadata(folder.join(name)).unwrap().len()).sum() };
    for number in 0..40 {
        store.put(&key(number), &[number as u8; 1000]).unwrap();
        assert!(total() <= 10_000);
        // Times of files may be as coarse as a tick of the kernel.
        std::thread::sleep(Duration::from_millis(8));
    }
    let there: BTreeMap<u64, bool> =
        (0..40).map(|number| (number, store.get(&key(number)).is_some())).collect();
    assert!((0..31).all(|number| !there[&number]) && (31..40).all(|number| there[&number]), "{there:?}");
    assert!(store.put(&key(99), &[0; 10_000]).is_err() && store.get(&key(99)).is_none());
    assert!(store.get(&key(39)).is_some(), "what does not fit takes nobody's place");
}

#[test]
fn folders_and_entries_of_others_are_not_used() {
    let folder = place("owners");
    let store = Store::open(&folder, LARGE).unwrap();
    assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
    store.put(&key(1), b"mine").unwrap();
    let file = only_file(&folder);
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    let refused = |why: &str| {
        assert_eq!(store.get(&key(1)), None, "{why}");
        assert!(fs::symlink_metadata(&file).is_err(), "{why}: removed");
        store.put(&key(1), b"mine").unwrap();
        assert_eq!(store.get(&key(1)).as_deref(), Some(&b"mine"[..]));
    };
    fs::set_permissions(&file, fs::Permissions::from_mode(0o622)).unwrap();
    refused("others can write it");
    let aside = place("aside");
    fs::rename(&file, &aside).unwrap();
    symlink(&aside, &file).unwrap();
    refused("a link");
    assert!(aside.exists(), "what a link names stays");
    fs::remove_file(&file).unwrap();
    assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
    refused("a pipe");
    // SAFETY: asks for a number of the process.
    if unsafe { libc::geteuid() } == 0 {
        std::os::unix::fs::chown(&file, Some(12345), None).unwrap();
        refused("another user's");
        std::os::unix::fs::chown(&folder, Some(12345), None).unwrap();
        assert!(Store::open(&folder, LARGE).is_err(), "another user's folder");
        std::os::unix::fs::chown(&folder, Some(0), None).unwrap();
    } else {
        println!("files of another user are left out: only root can make them");
    }
    assert!(Store::open(&folder, LARGE).is_ok());
    for mode in [0o701, 0o710, 0o755, 0o777] {
        fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
        assert!(Store::open(&folder, LARGE).is_err(), "{mode:o}");
    }
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    let link = place("link");
    let _ = fs::remove_file(&link);
    symlink(&folder, &link).unwrap();
    assert!(Store::open(&link, LARGE).is_err(), "a link to a folder");
    assert!(Store::open(&file, LARGE).is_err(), "no folder");
}
