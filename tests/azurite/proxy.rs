//! Something between the program and the service that breaks connections.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// What it does to what comes back from the service.
pub(crate) struct Fault {
    /// How many bytes a connection carries before it is cut.
    pub(crate) per_connection: u64,
    /// How many bytes all connections carry together; after that each is cut at once.
    pub(crate) in_all: u64,
    /// What is done once, in mid-stream, when so many bytes have been carried together.
    pub(crate) at: Option<(u64, Box<dyn FnOnce() + Send>)>,
}

impl Default for Fault {
    /// None at all.
    fn default() -> Self {
        Self { per_connection: u64::MAX, in_all: u64::MAX, at: None }
    }
}

/// A proxy that listens until the tests end.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

struct State {
    service: SocketAddr,
    fault: Mutex<Fault>,
    carried: AtomicU64,
    cuts: AtomicU64,
}

impl Proxy {
    pub(crate) fn start(service: SocketAddr, fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state =
            State { service, fault: Mutex::new(fault), carried: AtomicU64::new(0), cuts: AtomicU64::new(0) };
        let state = Arc::new(state);
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, state) = (client.unwrap(), Arc::clone(&shared));
                thread::spawn(move || state.serve(client));
            }
        });
        Self { address, state }
    }

    /// How many connections it has cut so far.
    pub(crate) fn cuts(&self) -> u64 {
        self.state.cuts.load(Ordering::SeqCst)
    }

    /// How many bytes came back from the service.
    pub(crate) fn carried(&self) -> u64 {
        self.state.carried.load(Ordering::SeqCst)
    }
}

impl State {
    /// Carries a connection's bytes to and fro.
    fn serve(&self, client: TcpStream) {
        let service = TcpStream::connect(self.service).unwrap();
        let (mut from, mut to) = (client.try_clone().unwrap(), service.try_clone().unwrap());
        thread::spawn(move || {
            // Either side may be gone by now, which is what this is for.
            let _gone = std::io::copy(&mut from, &mut to);
            let _gone = to.shutdown(Shutdown::Both);
        });
        let was_cut = self.carry_back(&service, &client);
        if was_cut {
            self.cuts.fetch_add(1, Ordering::SeqCst);
        }
        for side in [client, service] {
            let _gone = side.shutdown(Shutdown::Both);
        }
    }

    /// Carries back what the service says; `true` if it broke off.
    fn carry_back(&self, mut service: &TcpStream, mut client: &TcpStream) -> bool {
        let mut left = self.fault.lock().unwrap().per_connection;
        let mut buffer = [0; 16 << 10];
        loop {
            let Ok(count @ 1..) = service.read(&mut buffer) else { return false };
            let carried = self.carried.load(Ordering::SeqCst);
            let action = {
                let mut fault = self.fault.lock().unwrap();
                left = left.min(fault.in_all.saturating_sub(carried));
                let is_due = fault.at.as_ref().is_some_and(|(at, _)| carried + count as u64 >= *at);
                if is_due { fault.at.take() } else { None }
            };
            if let Some((_, action)) = action {
                action();
            }
            let kept = usize::try_from(left).map_or(count, |left| count.min(left));
            if client.write_all(&buffer[..kept]).is_err() {
                return false;
            }
            self.carried.fetch_add(kept as u64, Ordering::SeqCst);
            left -= kept as u64;
            if kept < count {
                return true;
            }
        }
    }
}
