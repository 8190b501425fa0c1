//! The disk of the store is full: the sale is refused before anything is promised, and what was promised stays.

use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use protocol::latest::local_api::{CompleteSale, SaleReceipt};
use tests::process::Agent;

use super::counter::{Answer, all_days, amount_minor, command};
use super::site::{PATIENCE, STORE_CONFIG, Site, StoreApi, on_processes, seed, until};

/// Room for an agent's books and some thousand sales.
const DISK: &str = "size=16m,mode=0700";

/// What somebody leaves of it: some hundred sales.
const LEFT_BYTES: u64 = 512 * 1024;

/// Far more sales than fit.
const SALES_MAX: u64 = 20_000;

#[test]
fn agent_disk_full() {
    on_processes("disk-full", async |folder| {
        let Some(disk) = SmallDisk::mount(&folder.join("HARBOUR"))? else { return Ok(()) };
        let seed = seed();
        let site = Site::start(folder)?;
        let mut agent = Agent::new(&folder.join("HARBOUR"), STORE_CONFIG);
        agent.enroll(&site.server, "HARBOUR", site.server.addresses().mqtt)?;
        agent.start()?;
        let store = site.at(&agent);
        let mut sold = store.sell_all(seed, "T1", 0..20).await?;
        store.is_drained().await?;

        // Once the process goes on, and once it is killed while there is no room.
        let mut next = 20;
        for kill in [false, true] {
            disk.fill()?;
            let refused = sell_until_refused(&store, seed, &mut next, &mut sold).await?;
            if kill {
                agent.kill();
            }
            disk.make_room()?;
            if kill {
                agent.start()?;
                all_there(&store, &sold).await?;
            }
            // The very sale that was refused, under its own id, and more.
            let again = async || store.sell(&refused).await;
            sold.push(until("selling resumes when there is room", PATIENCE, again).await?);
            sold.extend(store.sell_all(seed, "T1", next..next + 20).await?);
            next += 20;
        }

        store.is_drained().await?;
        let centre = site.centre();
        centre.has_applied("HARBOUR", sold.len() as u64).await?;
        for receipt in &sold {
            ensure!(centre.has_sale(receipt.sale_id).await?, "{} is not at the centre", receipt.sale_id);
        }
        let sums = all_days(&centre.totals("HARBOUR").await?);
        ensure!(sums.amount_minor == amount_minor(&sold), "{sums:?}");
        agent.stop()
    });
}

/// Sells until there is no room; returns the sale that was refused.
async fn sell_until_refused(
    store: &StoreApi,
    seed: u64,
    next: &mut u64,
    sold: &mut Vec<SaleReceipt>,
) -> anyhow::Result<CompleteSale> {
    let before = sold.len();
    let (refused, problem) = loop {
        ensure!(*next < SALES_MAX, "the disk never filled up");
        let command = command(seed, "T1", *next);
        *next += 1;
        match store.post(&command).await? {
            Answer::Sold(receipt) => sold.push(receipt),
            Answer::Refused(problem) => break (command, problem),
        }
    };
    eprintln!("{} sales fitted, then {}: {}", sold.len() - before, problem.title, problem.detail);
    ensure!((problem.status, problem.message_key.as_str()) == (503, "store.disk_full"), "{problem:?}");
    ensure!(store.sale_status(refused.sale_id).await? == 404, "a refused sale is there");
    // It stays refused. Whether a smaller sale still fits is not said.
    let answer = store.post(&refused).await?;
    ensure!(matches!(answer, Answer::Refused(_)), "sold without room: {answer:?}");
    all_there(store, sold).await?;
    Ok(refused)
}

/// What was answered is readable, room or not.
async fn all_there(store: &StoreApi, sold: &[SaleReceipt]) -> anyhow::Result<()> {
    for receipt in sold {
        ensure!(store.sale_status(receipt.sale_id).await? == 200, "{} is gone", receipt.sale_id);
    }
    Ok(())
}

/// A small file system in memory.
struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// None, said on stderr, where nothing may be mounted.
    fn mount(path: &Path) -> anyhow::Result<Option<Self>> {
        fs::create_dir_all(path).context("make the mount point")?;
        let (target, kind, options) = (c_path(path)?, c"tmpfs", CString::new(DISK)?);
        #[expect(unsafe_code, reason = "the standard library mounts nothing")]
        // SAFETY: every pointer is to a string with its end, and lives over the call.
        let result = unsafe { libc::mount(kind.as_ptr(), target.as_ptr(), kind.as_ptr(), 0, options.as_ptr().cast()) };
        if result == 0 {
            return Ok(Some(Self { path: path.to_owned() }));
        }
        let error = std::io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES | libc::ENOSYS) => {
                eprintln!("skipped: no file system may be mounted here ({error})");
                Ok(None)
            }
            _ => bail!("mount a small file system: {error}"),
        }
    }

    fn filler(&self) -> PathBuf {
        self.path.join("filler")
    }

    /// Leaves little room.
    fn fill(&self) -> anyhow::Result<()> {
        use std::io::Write;
        let mut file = fs::File::create(self.filler()).context("make the filler")?;
        let block = vec![0; 4096];
        loop {
            match file.write_all(&block) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::StorageFull => break,
                Err(error) => return Err(error).context("fill the disk"),
            }
        }
        let filled = file.metadata().context("look at the filler")?.len();
        file.set_len(filled.saturating_sub(LEFT_BYTES)).context("leave some room")
    }

    fn make_room(&self) -> anyhow::Result<()> {
        fs::remove_file(self.filler()).context("remove the filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let Ok(target) = c_path(&self.path) else { return };
        #[expect(unsafe_code, reason = "the standard library unmounts nothing")]
        // SAFETY: the pointer is to a string with its end, and lives over the call.
        let result = unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) };
        if result != 0 {
            eprintln!("{} stays mounted: {}", self.path.display(), std::io::Error::last_os_error());
        }
    }
}

fn c_path(path: &Path) -> anyhow::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).context("a path without a zero byte")
}
