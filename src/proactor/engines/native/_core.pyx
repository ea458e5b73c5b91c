# cython: language_level=3, freethreading_compatible=True
"""The Python face of the C core: thin, and the only file that knows both sides.

So far it has the probe alone. What a function means is said in `_core.pyi`.
"""

cdef extern from "core/probe.h" nogil:
    enum:
        PROBE_NONE
        PROBE_BASIC
        PROBE_MULTISHOT

    struct probe_finding:
        const char *name
        bint is_used
        char text[240]

    struct probe_report:
        int profile
        char kernel[65]
        unsigned count
        probe_finding findings[16]

    void probe_kernel(probe_report *report, const char *release)


def probe(release=None):
    cdef probe_report report
    cdef bytes text = b"" if release is None else release.encode("ascii")
    cdef const char *as_if = NULL if release is None else <const char *>text
    with nogil:
        probe_kernel(&report, as_if)
    features = {}
    refused = {}
    cdef unsigned index
    for index in range(report.count):
        found = features if report.findings[index].is_used else refused
        found[report.findings[index].name.decode()] = report.findings[index].text.decode()
    names = {PROBE_NONE: "none", PROBE_BASIC: "basic", PROBE_MULTISHOT: "multishot"}
    return {
        "profile": names[report.profile],
        "kernel": report.kernel.decode(),
        "features": features,
        "refused": refused,
    }
