//! The directives about the processes: who a worker is, where, and with how many descriptors.

use crate::config::nginx::Reader;
use crate::config::nginx::syntax::Directive;
use crate::config::user;
use crate::config::user::Identity;
use crate::sys;

impl Reader {
    /// A directive of nginx's main context about the processes.
    pub(crate) fn process_directive(&mut self, directive: &Directive) -> bool {
        match directive.name.text.as_str() {
            "user" => self.user(directive),
            "chroot" => self.chroot(directive),
            "worker_rlimit_nofile" => {
                if let Some(number) = self.number(directive) {
                    self.config.max_descriptors = Some(number);
                }
            }
            _ => return false,
        }
        true
    }

    fn user(&mut self, directive: &Directive) {
        let name = directive.name.place;
        let (user, group) = match directive.arguments.as_slice() {
            [user] => (user, None),
            [user, group] => (user, Some(group)),
            _ => {
                return self.fault(
                    name,
                    "user takes a user and perhaps a group; write user NAME [GROUP];",
                );
            }
        };
        let found = match group {
            Some(group) => Identity::find(&user.text, Some(&group.text)),
            None => Identity::find_pair(&user.text),
        };
        match found {
            // As nginx has it: whoever is not root changes nothing, and need not have the user.
            found if !sys::is_root() => {
                if !found.is_ok_and(Identity::is_own) {
                    self.remark(
                        name,
                        "user is ignored: only root can become another user; start as root",
                    );
                }
            }
            Ok(identity) => self.config.identity = Some(identity),
            Err(what) => self.fault(user.place, what),
        }
    }

    fn chroot(&mut self, directive: &Directive) {
        let Some(text) = self.argument(directive) else {
            return;
        };
        let path = self.directory.join(text);
        let name = directive.name.place;
        if let Some(ignored) = user::ignored_chroot() {
            self.remark(name, format!("chroot is ignored: {ignored}"));
        } else if let Err(what) = user::check_chroot(&path) {
            let place = directive.arguments.first().map_or(name, |word| word.place);
            self.fault(place, what);
        } else {
            self.config.chroot = Some(path);
        }
    }
}
