//! A container.

use super::Needed::{self, All, Each, Members};

/// A container, as the default fields are read.
pub(super) const CONTAINER: Needed = Members(&[
    ("name", All),
    ("image", All),
    ("command", All),
    ("args", All),
    ("env", All),
    ("envFrom", All),
    ("imagePullPolicy", All),
    ("lifecycle", All),
    ("livenessProbe", All),
    ("ports", All),
    ("readinessProbe", All),
    ("restartPolicy", All),
    ("restartPolicyRules", All),
    ("securityContext", All),
    ("startupProbe", All),
    ("stdin", All),
    ("stdinOnce", All),
    ("terminationMessagePath", All),
    ("terminationMessagePolicy", All),
    ("tty", All),
    ("volumeDevices", Each(&Members(&[("devicePath", All)]))),
    ("volumeMounts", Each(&MOUNT)),
    ("workingDir", All),
]);

/// A mount, without the name of its volume: that of a token is another one in each Pod, and so would be the container's text.
const MOUNT: Needed = Members(&[
    ("mountPath", All),
    ("readOnly", All),
    ("recursiveReadOnly", All),
    ("mountPropagation", All),
    ("subPath", All),
    ("subPathExpr", All),
]);
