//! What is called in C: DPDK's classifier and forwarding table, libpcap's loop, memory maps. All `unsafe` is here.
#![expect(unsafe_code, reason = "functions of C libraries and memory maps have no other door")]

use std::cell::Cell;
use std::ffi::{CStr, CString, c_char, c_int};
use std::fs::File;
use std::marker::PhantomData;
use std::path::Path;
use std::ptr::NonNull;

use anyhow::{Context, Result, bail};
use memmap2::Mmap;

/// A header as DPDK reads it: network byte order.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct Wire {
    pub(crate) source: [u8; 4],
    pub(crate) destination: [u8; 4],
    pub(crate) source_port: [u8; 2],
    pub(crate) destination_port: [u8; 2],
    pub(crate) protocol: u8,
    pub(crate) unused: [u8; 3],
}

/// A rule as `acl.c` takes it; `mark` is what a match answers and may not be 0.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct AclRule {
    pub(crate) source: u32,
    pub(crate) destination: u32,
    pub(crate) source_port_first: u16,
    pub(crate) source_port_last: u16,
    pub(crate) destination_port_first: u16,
    pub(crate) destination_port_last: u16,
    pub(crate) source_bits: u8,
    pub(crate) destination_bits: u8,
    pub(crate) protocol: u8,
    pub(crate) protocol_mask: u8,
    pub(crate) priority: i32,
    pub(crate) mark: u32,
}

/// What libpcap's loop came to.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct PcapCounts {
    pub(crate) records: u64,
    pub(crate) fitting: u64,
    pub(crate) bytes: u64,
}

/// A structure of DPDK's, of which Rust knows no more than where it lies.
#[repr(C)]
struct AclContext {
    private: [u8; 0],
}

/// As [`AclContext`].
#[repr(C)]
struct FibTable {
    private: [u8; 0],
}

unsafe extern "C" {
    fn peers_dpdk_start(lcores: *mut c_char, megabytes: *mut c_char) -> c_int;
    fn peers_dpdk_taken() -> u64;
    fn peers_acl_build(
        rules: *const AclRule,
        count: u32,
        bytes: *mut u64,
        failed: *mut c_int,
    ) -> *mut AclContext;
    fn peers_acl_use(context: *mut AclContext, method: c_int) -> c_int;
    fn peers_acl_classify(
        context: *const AclContext,
        headers: *const *const Wire,
        marks: *mut u32,
        count: u32,
    ) -> c_int;
    fn peers_acl_free(context: *mut AclContext);
    fn peers_fib_create(prefixes: u32, groups: u32, missing: u32) -> *mut FibTable;
    fn peers_fib_add(table: *mut FibTable, address: u32, bits: u8, answer: u32) -> c_int;
    fn peers_fib_find(table: *mut FibTable, addresses: *const u32, answers: *mut u64, count: u32) -> c_int;
    fn peers_fib_free(table: *mut FibTable);
    fn peers_pcap_read(
        path: *const c_char,
        expression: *const c_char,
        counts: *mut PcapCounts,
        message: *mut c_char,
        room: usize,
    ) -> c_int;
}

/// DPDK, started. Whoever holds it may build tables; they stay with the thread that started it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dpdk {
    not_send: PhantomData<*const ()>,
}

impl Dpdk {
    /// Starts DPDK without huge pages and devices, on this thread, which stays on one core from then on.
    ///
    /// # Errors
    ///
    /// Fails if DPDK does, and if it was started before.
    pub(crate) fn start(core: usize, megabytes: usize) -> Result<Self> {
        // DPDK keeps pointers into its arguments.
        let argument = |text: String| CString::new(text).expect("numbers hold no zero byte").into_raw();
        let (lcores, megabytes) = (argument(format!("0@{core}")), argument(megabytes.to_string()));
        // SAFETY: both are C strings that are never freed.
        let failed = unsafe { peers_dpdk_start(lcores, megabytes) };
        if failed != 0 {
            bail!("DPDK does not start: {}", std::io::Error::from_raw_os_error(failed));
        }
        Ok(Self { not_send: PhantomData })
    }

    /// How many bytes DPDK's heaps have given out.
    pub(crate) fn taken(self) -> u64 {
        // SAFETY: takes nothing, and `self` tells that DPDK runs.
        unsafe { peers_dpdk_taken() }
    }
}

/// Rules compiled by DPDK.
#[derive(Debug)]
pub(crate) struct Acl {
    context: NonNull<AclContext>,
    /// What the tables take.
    pub(crate) bytes: u64,
}

impl Acl {
    /// Compiles the rules.
    ///
    /// # Errors
    ///
    /// Fails where DPDK does, for want of memory above all.
    pub(crate) fn build(_: Dpdk, rules: &[AclRule]) -> Result<Self> {
        let count = u32::try_from(rules.len()).context("more rules than DPDK counts")?;
        let (mut bytes, mut failed) = (0, 0);
        // SAFETY: `rules` holds `count` structures laid out as in `acl.c`, which copies them; `Dpdk` tells that it runs.
        let context = unsafe { peers_acl_build(rules.as_ptr(), count, &raw mut bytes, &raw mut failed) };
        let Some(context) = NonNull::new(context) else {
            bail!("DPDK does not compile {count} rules: {}", std::io::Error::from_raw_os_error(failed));
        };
        Ok(Self { context, bytes })
    }

    /// Chooses the way to classify by DPDK's number for it; false if the processor has it not.
    pub(crate) fn select(&mut self, method: i32) -> bool {
        // SAFETY: the context lives as long as `self`, and DPDK refuses a method that it cannot run.
        unsafe { peers_acl_use(self.context.as_ptr(), method) == 0 }
    }

    /// The mark of each header's first rule, 0 for none. They lie in cells, so that whoever fills batch after batch
    /// need not point at them anew.
    ///
    /// # Panics
    ///
    /// If there are fewer places for marks than headers.
    pub(crate) fn classify(&self, headers: &[&Cell<Wire>], marks: &mut [u32]) {
        assert!(marks.len() >= headers.len(), "each header has a place for its mark");
        let count = u32::try_from(headers.len()).expect("batches are small");
        // SAFETY: a slice of references is laid out as an array of pointers, and a cell as what is in it; nobody sets
        // one meanwhile, for they are not `Sync`. `marks` has room for `count` numbers.
        let failed = unsafe {
            peers_acl_classify(
                self.context.as_ptr(),
                headers.as_ptr().cast::<*const Wire>(),
                marks.as_mut_ptr(),
                count,
            )
        };
        assert_eq!(failed, 0, "DPDK refuses nothing but bad arguments");
    }
}

impl Drop for Acl {
    fn drop(&mut self) {
        // SAFETY: the context came from `peers_acl_build` and nobody else holds it.
        unsafe { peers_acl_free(self.context.as_ptr()) };
    }
}

/// A forwarding table of DPDK's, with two levels: the first 24 bits, and the last 8.
#[derive(Debug)]
pub(crate) struct Fib {
    table: NonNull<FibTable>,
}

impl Fib {
    /// A table for so many prefixes, of which `groups` /24 blocks hold longer ones.
    ///
    /// # Errors
    ///
    /// Fails for want of memory, and while another table lives.
    pub(crate) fn new(_: Dpdk, prefixes: usize, groups: usize, missing: u32) -> Result<Self> {
        let (prefixes, groups) = (u32::try_from(prefixes)?, u32::try_from(groups)?);
        // SAFETY: takes numbers only, and `Dpdk` tells that it runs.
        let table = unsafe { peers_fib_create(prefixes, groups, missing) };
        NonNull::new(table).map(|table| Self { table }).context("DPDK makes no forwarding table")
    }

    /// Adds a prefix.
    ///
    /// # Errors
    ///
    /// Fails if the table is full.
    pub(crate) fn add(&mut self, address: u32, bits: u8, answer: u32) -> Result<()> {
        // SAFETY: the table lives as long as `self`.
        let failed = unsafe { peers_fib_add(self.table.as_ptr(), address, bits, answer) };
        if failed == 0 { Ok(()) } else { bail!("DPDK's forwarding table takes no more") }
    }

    /// The answer of each address's longest prefix.
    ///
    /// # Panics
    ///
    /// If there are fewer places for answers than addresses.
    pub(crate) fn find(&self, addresses: &[u32], answers: &mut [u64]) {
        assert!(answers.len() >= addresses.len(), "each address has a place for its answer");
        let count = u32::try_from(addresses.len()).expect("batches are small");
        // SAFETY: DPDK reads `count` addresses, though it does not say `const`, and writes as many answers.
        let failed =
            unsafe { peers_fib_find(self.table.as_ptr(), addresses.as_ptr(), answers.as_mut_ptr(), count) };
        assert_eq!(failed, 0, "DPDK refuses nothing but bad arguments");
    }
}

impl Drop for Fib {
    fn drop(&mut self) {
        // SAFETY: the table came from `peers_fib_create` and nobody else holds it.
        unsafe { peers_fib_free(self.table.as_ptr()) };
    }
}

/// Reads a capture with libpcap, and asks its compiled filter about every record.
///
/// # Errors
///
/// Fails in libpcap's words.
pub(crate) fn pcap_read(path: &Path, filter: &str) -> Result<PcapCounts> {
    let name = CString::new(path.as_os_str().as_encoded_bytes())?;
    let filter = CString::new(filter)?;
    let mut counts = PcapCounts::default();
    let mut message: [c_char; 512] = [0; 512];
    // SAFETY: both texts are C strings; `counts` is laid out as in `pcap.c`; no more than the array's length is written.
    let failed = unsafe {
        peers_pcap_read(name.as_ptr(), filter.as_ptr(), &raw mut counts, message.as_mut_ptr(), message.len())
    };
    if failed != 0 {
        // SAFETY: the array was zero, and `snprintf` ends what it writes with a zero.
        let said = unsafe { CStr::from_ptr(message.as_ptr()) };
        bail!("libpcap: {}", said.to_string_lossy());
    }
    Ok(counts)
}

/// How many bytes of the heap are in use.
pub(crate) fn heap_bytes() -> usize {
    // SAFETY: takes nothing and reads the allocator's own counters.
    let info = unsafe { libc::mallinfo2() };
    info.uordblks + info.hblkhd
}

/// A file in memory.
///
/// # Errors
///
/// Fails if the file cannot be opened or mapped.
pub(crate) fn map(path: &Path) -> Result<Mmap> {
    let file = File::open(path)?;
    // SAFETY: the file lies in a folder of this run's own, and nothing writes to it while it is mapped.
    let map = unsafe { Mmap::map(&file)? };
    Ok(map)
}
