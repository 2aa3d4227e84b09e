package workspace

// MaxShares is how many ports of one workspace may have settings of their own.
const MaxShares = 64

// ShareLevels lists the levels, narrowest first.
var ShareLevels = []ShareLevel{SharePrivate, ShareMembers, SharePublic}

// width orders the levels; what is none of them lets nobody in but the owner.
func (l ShareLevel) width() int {
	switch l {
	case SharePublic:
		return 2
	case ShareMembers:
		return 1
	default:
		return 0
	}
}

// Valid reports whether l is one of the levels.
func (l ShareLevel) Valid() bool { return l == SharePrivate || l.width() > 0 }

// WiderThan reports whether l lets in somebody whom other does not.
func (l ShareLevel) WiderThan(other ShareLevel) bool { return l.width() > other.width() }

// IsPreviewPort reports whether a port inside a container can be a preview: 1024 to 65535, but not
// one of ours.
func IsPreviewPort(port int) bool {
	return port >= 1024 && port <= 65535 && port != ContainerIDEPort && port != ContainerBridgePort
}

// ShareOf returns how the owner shares a port; one without a setting is private.
func (w *Workspace) ShareOf(port int) Share {
	for _, s := range w.Shares {
		if s.Port == port {
			return s
		}
	}
	return Share{Port: port, Level: SharePrivate}
}

// EffectiveShare returns how host can be reached: as its workspace's owner says, but never wider
// than the operator's limit. It is the one place that decides this, for every path to a workspace
// (CVE-2026-55432). VS Code is never shared.
func (w *Workspace) EffectiveShare(host Host, limit ShareLevel) Share {
	if host.Kind != HostPreview || host.ID != w.ID {
		return Share{Port: host.Port, Level: SharePrivate}
	}
	s := w.ShareOf(host.Port)
	if s.Level.WiderThan(limit) {
		s.Level = limit
	}
	if !s.Level.Valid() {
		s.Level = SharePrivate
	}
	s.Wakes = s.Wakes && s.Level == SharePublic
	return s
}
