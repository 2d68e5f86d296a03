//! What is asked through the control socket, and what the supervisor does about it.

use std::path::Path;
use std::time::Instant;

use crate::serve::supervisor::{Phase, Reloading, Supervisor};
use serde_json::Value;

use crate::clock;
use crate::config::{BindAddr, Config, ControlSocket, Endpoint, EndpointSource, Purpose};
use crate::control::{Reply, Request};
use crate::error::Error;
use crate::serve::metrics::report::DaemonReport;
use crate::serve::supervisor::control_socket::{ClientNumber, Control};
use crate::serve::worker::admin::AdminEndpoint;
use crate::window;
use crate::window::Window;

impl Supervisor {
    /// Does what clients ask for.
    pub(crate) fn serve_clients(&mut self) {
        let now = Instant::now();
        let asked = self.control.as_mut().map(|control| control.take(now));
        for (client, request) in asked.unwrap_or_default() {
            match request {
                Request::Announce { window, is_saved } => {
                    // The switch may save it elsewhere than where it would be read here.
                    let state_dir = &self.material.config.state_dir;
                    let is_found = is_saved
                        && window::saved(state_dir, clock::seconds()).as_ref() == Ok(&window);
                    self.pinned = (!is_found).then(|| window.clone());
                    self.announce(client, window);
                }
                Request::Status => self.answer(client, Reply::Done(self.report())),
            }
        }
    }

    /// What there is to tell.
    fn report(&self) -> Value {
        let started = self.started.elapsed();
        DaemonReport {
            figures: self.board.figures(),
            samples: &self.samples,
            hosts: &self.hosts,
            window: &self.material.config.window,
            workers: self.staff.serving(),
            uptime: started.as_secs(),
        }
        .json()
    }

    /// What a worker tells those who ask for metrics and health.
    pub(crate) fn inspection(&self) -> Option<AdminEndpoint> {
        let config = &self.material.config;
        let metrics = config.metrics.as_ref()?;
        let mut endpoints = config.endpoints.iter();
        let endpoint = endpoints.position(|one| one.purpose == Purpose::Metrics)?;
        let now = clock::seconds();
        Some(AdminEndpoint {
            endpoint,
            health: metrics.health.clone(),
            board: self.board.clone(),
            hosts: self.hosts.clone(),
            started: now.saturating_sub(self.started.elapsed().as_secs()),
            until: config.window.until,
        })
    }

    fn answer(&mut self, client: ClientNumber, reply: Reply) {
        if let Some(control) = &mut self.control {
            control.answer(client, reply, Instant::now());
        }
    }

    /// Has new workers show this. The client has its answer when they serve.
    fn announce(&mut self, client: ClientNumber, window: Window) {
        let is_shown = self.told.is_none() && self.material.config.window == window;
        if is_shown && matches!(self.phase, Phase::Serving | Phase::Closing(_)) {
            return self.answer(client, Reply::done());
        }
        log::info!(
            "{}",
            if window.is_empty() {
                "nothing is announced any more"
            } else {
                "a maintenance is announced"
            }
        );
        self.told = Some(window);
        match self.reload() {
            Reloading::Begun => {
                if let Some(control) = &mut self.control {
                    control.keep_waiting(client, Instant::now());
                }
            }
            Reloading::Waits => self.answer(
                client,
                Reply::Error(
                    "older workers still have connections; the page follows within a minute"
                        .to_owned(),
                ),
            ),
            Reloading::Faulty(fault) => {
                let what = format!("its configuration cannot be read anew: {fault}");
                self.answer(client, Reply::Error(what));
            }
            Reloading::Ending => self.answer(client, Reply::Error("it is ending".to_owned())),
        }
    }

    /// The newest workers serve.
    pub(crate) fn tell_waiting(&mut self) {
        if let Some(control) = &mut self.control {
            control.answer_waiting(&Reply::done(), Instant::now());
        }
    }

    /// What is announced from now on: what was told, and is new or not saved; or else what the switch has written down.
    pub(crate) fn window(&self, state_dir: &Path) -> Window {
        if let Some(told) = self.told.as_ref().or(self.pinned.as_ref()) {
            return told.clone();
        }
        saved_window(state_dir).unwrap_or_else(|| self.material.config.window.clone())
    }

    /// Opens the control socket if it is to be another one from now on.
    pub(crate) fn new_control(
        &self,
        setting: &ControlSocket,
    ) -> Result<Option<Option<Control>>, Error> {
        let same = match (&self.control, setting.path()) {
            (Some(control), Some(path)) => control.path() == path && control.can_be_found(),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        // Where the default one could not be opened that has been told.
        let is_told = self.control.is_none()
            && *setting == ControlSocket::Default
            && self.material.config.control == ControlSocket::Default;
        if same || is_told || self.phase == Phase::Leaving {
            return Ok(None);
        }
        Control::open(setting).map(Some)
    }
}

/// Listens for metrics and health too, where that is asked for.
pub(crate) fn add_metrics(config: &mut Config) {
    if let Some(metrics) = &config.metrics {
        config.endpoints.push(Endpoint {
            source: EndpointSource::File,
            purpose: Purpose::Metrics,
            ..Endpoint::new(BindAddr::Tcp(metrics.address), false)
        });
    }
}

/// What the switch has written down; nothing where that cannot be read, which is told.
pub(crate) fn saved_window(state_dir: &Path) -> Option<Window> {
    window::saved(state_dir, clock::seconds())
        .map_err(|what| log::warn!("{what}"))
        .ok()
}
