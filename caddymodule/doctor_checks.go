package caddymodule

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/workspace"
)

// unseen is the result where the engine did not say what was asked.
func unseen(err error) checkResult {
	if errors.Is(err, errors.ErrUnsupported) {
		return fine("this runtime cannot be looked at")
	}
	return warning("", "not looked at, since the engine does not answer")
}

func checkEngine(_ context.Context, p *patient) checkResult {
	e, err := p.engine()
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return unseen(err)
	case errors.Is(err, fs.ErrPermission):
		return failed("Run Kalpana and this command as root, or as a user that may use the engine (usermod -aG docker <user>).", "%v", err)
	case errors.Is(err, workspace.ErrEngineDown):
		return failed("Start it (scripts/engine.sh installs and starts one), or name another with DOCKER_HOST or: runtime docker { host … }.", "%v", err)
	case err != nil:
		return failed("Look at the option runtime.", "%v", err)
	}
	return fine("%s %s at %s, API %s", e.Name, e.Version, e.Address, e.API)
}

func checkRuntime(_ context.Context, p *patient) checkResult {
	e, err := p.engine()
	switch {
	case err != nil:
		return unseen(err)
	case e.Escapes != "":
		return warning("Update it, or see that your distribution has mended "+e.Escapes+" in its own version.", "%s: containers can get out of it", e.Runtime)
	case e.Runtime == "":
		return fine("the engine does not tell what runs its containers, or it is not runc")
	default:
		return fine("%s", e.Runtime)
	}
}

func checkCgroups(_ context.Context, p *patient) checkResult {
	e, err := p.engine()
	if err != nil {
		return unseen(err)
	}
	if len(e.Unlimits) == 0 {
		return fine("%s", e.Cgroups)
	}
	if slices.Equal(e.Unlimits, []string{"swap"}) {
		return warning("Turn swap accounting on (kernel parameter swapaccount=1), or swap off, or a workspace uses swap beyond its limit of memory.", "%s; it cannot limit swap", e.Cgroups)
	}
	return warning("Turn these controllers on in the kernel: until then one workspace can take all of them.", "%s; it cannot limit %s", e.Cgroups, strings.Join(e.Unlimits, ", "))
}

func checkStorage(_ context.Context, p *patient) checkResult {
	e, err := p.engine()
	if err != nil {
		return unseen(err)
	}
	if e.Copies {
		return warning("Put the engine's directory on ext4 or xfs, so that it can use overlay2.", "%s: every container is a whole copy of the image", e.Storage)
	}
	found := fmt.Sprintf("%s in %s", e.Storage, e.Root)
	switch e.Quotas {
	case orchestrator.QuotasOn:
		return fine("%s; project quotas bound volumes", found)
	case orchestrator.QuotasDenied:
		return warning("Run the gateway as root: until then disk limits are measured each minute alone.", "%s; it has project quotas, and this user may not change them", found)
	case orchestrator.QuotasNone:
		return fine("%s; no project quotas: disk limits are measured each minute", found)
	default:
		return fine("%s; disk limits are measured", found)
	}
}

func checkImage(ctx context.Context, p *patient) checkResult {
	inspector, ok := p.runtime.(orchestrator.Inspector)
	if !ok {
		return fine("%s; this runtime cannot be looked at", p.app.Image)
	}
	i, err := inspector.InspectImage(ctx, p.app.Image)
	switch {
	case errors.Is(err, workspace.ErrEngineDown):
		return unseen(err)
	case errors.Is(err, workspace.ErrImageMissing):
		return failed("Build it on the machine of the engine (make image prints its name), or name one that is there: image <reference>.", "%s is not on the engine", p.app.Image)
	case err != nil:
		return failed("Look at the option image.", "%s: %v", p.app.Image, err)
	case len(i.Faults) > 0:
		return failed("Build it anew: make image.", "%s is no workspace image: %s", p.app.Image, strings.Join(i.Faults, "; "))
	}
	made := ""
	if !i.Created.IsZero() {
		made = ", made " + humanize.Time(i.Created)
	}
	return fine("%s, %s%s", p.app.Image, size(i.Size), made)
}

func checkFirewall(ctx context.Context, p *patient) checkResult {
	inspector, ok := p.runtime.(orchestrator.Inspector)
	if !ok {
		return fine("this runtime cannot be looked at")
	}
	f, err := inspector.InspectFence(ctx)
	switch {
	case errors.Is(err, workspace.ErrEngineDown):
		return unseen(err)
	case err != nil:
		return failed("See that it works (iptables -S), or no workspace is started: Kalpana needs it to fence them off.", "%s: %v", f.By, err)
	case f.Off:
		return warning("Leave out allow_host_access: code in a workspace reaches every service of this machine.", "off, by allow_host_access")
	case f.By == "":
		return warning("Run the gateway as root on the engine's machine with iptables installed. Otherwise the workspace image must have iptables; the start of the gateway tells.",
			"rules cannot be set from here, so this is done in a container of the workspace image")
	case f.Missing > 0:
		return fine("%s works; the start of the gateway sets %d rules and proves them", f.By, f.Missing)
	}
	return fine("every rule is in place; the start of the gateway proves them")
}

// portsEach is how many published ports a workspace takes.
const portsEach = 2

func checkPorts(_ context.Context, p *patient) checkResult {
	first, last := p.app.FirstPort, p.app.LastPort
	taken := map[int]bool{}
	if info, err := p.kept(); err == nil {
		for _, port := range info.Ports {
			if port >= first && port <= last {
				taken[port] = true
			}
		}
	}
	ours := len(taken)
	var foreign []int
	if e, err := p.engine(); err == nil && e.Local {
		for _, port := range listening(first, last) {
			if !taken[port] {
				taken[port] = true
				foreign = append(foreign, port)
			}
		}
	}
	all := last - first + 1
	free := all - len(taken)
	found := fmt.Sprintf("%d of %d-%d are free; workspaces have %d", free, first, last, ours)
	if len(foreign) > 0 {
		found += fmt.Sprintf(", other programs %d (%s)", len(foreign), some(foreign, 5))
	}
	const do = "Widen the range: ports <first>-<last>; or delete workspaces that nobody needs."
	switch {
	case free < portsEach:
		return failed(do, "%s", found)
	case free < all/10 && free < 100*portsEach:
		return warning(do, "%s", found)
	}
	return fine("%s", found)
}

// some writes the first n numbers of a list.
func some(list []int, n int) string {
	var texts []string
	for _, v := range list[:min(n, len(list))] {
		texts = append(texts, strconv.Itoa(v))
	}
	if len(list) > n {
		texts = append(texts, "…")
	}
	return strings.Join(texts, ", ")
}

// listening returns the TCP ports of this machine, in a range, on which a program listens. Where the
// system does not say, it returns none.
func listening(first, last int) []int {
	var ports []int
	for _, s := range listeningSockets() {
		if port := int(s.address.Port()); port >= first && port <= last {
			ports = append(ports, port)
		}
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}

func checkStore(_ context.Context, p *patient) checkResult {
	info, err := p.kept()
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return fine("this store cannot be looked at; the start of the gateway tells")
	case errors.Is(err, fs.ErrNotExist):
		return fine("%s will be made at the first start", info.Where)
	case errors.Is(err, context.DeadlineExceeded):
		return warning("See that its disk is quick enough.", "%s could not be read within %v", info.Where, p.limit)
	case err != nil:
		return failed("Do as it says; docs/how-to/production.md tells of backups.", "%v", err)
	case info.Unread:
		return warning("Start the gateway, which reads it.", "%s has a log that was not written back, as after a crash or in a copy", info.Where)
	case info.Version < info.Known:
		return warning("Back it up before the next start, which brings it up to date: an older Kalpana will not read it any more.", "%s has schema %d, and this Kalpana makes %d of it", info.Where, info.Version, info.Known)
	}
	found := info.Where
	if info.Size > 0 {
		found += ", " + size(info.Size)
	}
	return fine("%s, schema %d", found, info.Version)
}

// The room that a disk needs. Below the reserve of the engine's no workspace is started.
const (
	dataLow    = 1 << 30   // warns
	dataLeast  = 100 << 20 // fails: the store would soon refuse to write
	engineMore = 4 << 30   // beyond the reserve, for what workspaces write
)

func checkDisk(_ context.Context, p *patient) checkResult {
	dir := nearest(p.app.DataDir)
	results := []checkResult{room(dir, "data directory", dataLow, dataLeast)}
	if e, err := p.engine(); err == nil && e.Local && e.Root != "" {
		reserve := p.app.Reserve.resolve().Disk
		results = append(results, room(e.Root, "engine", reserve+engineMore, max(reserve, dataLeast)))
	}
	worst := results[0]
	var found []string
	for _, r := range results {
		found = append(found, r.Found)
		if r.Status == checkFailed || r.Status == checkWarning && worst.Status == checkOK {
			worst = r
		}
	}
	worst.Found = strings.Join(found, "; ")
	return worst
}

func checkMemory(ctx context.Context, p *patient) checkResult {
	if p.wrong != nil {
		return unseen(p.wrong)
	}
	host, err := p.runtime.Host(ctx)
	switch {
	case errors.Is(err, errors.ErrUnsupported), err == nil && host.Memory == 0:
		return fine("that of the engine's machine cannot be seen from here")
	case err != nil:
		return unseen(err)
	}
	const do = "Stop workspaces (kalpana workspaces list --state running), let them be stopped sooner (sleep { … }), or give the machine more."
	reserve := p.app.Reserve.resolve().Memory
	found := fmt.Sprintf("%s of %s are free", size(host.MemoryFree), size(host.Memory))
	switch {
	case host.MemoryFree < reserve:
		return failed(do, "%s: less than the reserve of %s, so no workspace is started", found, size(reserve))
	case host.MemoryFree < 2*reserve:
		return warning(do, "%s: soon less than the reserve of %s", found, size(reserve))
	}
	return fine("%s", found)
}

func room(dir, what string, low, least int64) checkResult {
	free, inodes, err := diskFree(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return fine("%s: %s cannot be seen from here", what, dir)
	case err != nil:
		return warning("See that its disk works.", "%s: %s: %v", what, dir, err)
	}
	found := fmt.Sprintf("%s: %s free in %s", what, size(free), dir)
	switch {
	case free < least:
		return failed("Free some space there, or move it to a larger disk.", "%s", found)
	case inodes >= 0 && inodes < 1000:
		return failed("Remove files there, or move it to a file system with more inodes.", "%s, but room for %d files only", found, inodes)
	case free < low:
		return warning("Free some space there soon.", "%s", found)
	}
	return fine("%s", found)
}

// diskFree returns how many bytes and files the disk of a directory has room for; -1 where the file
// system does not count files.
func diskFree(dir string) (bytes, files int64, err error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, 0, err
	}
	bytes = clamped(uint64(s.Bavail) * uint64(s.Bsize)) //nolint:gosec,unconvert // its types differ between systems
	if s.Files == 0 {
		return bytes, -1, nil
	}
	return bytes, clamped(uint64(s.Ffree)), nil //nolint:unconvert // likewise
}

func clamped(n uint64) int64 { return int64(min(n, math.MaxInt64)) } //nolint:gosec // it fits by then

func size(n int64) string { return humanize.IBytes(uint64(max(n, 0))) } //nolint:gosec // not negative

func checkDNS(ctx context.Context, p *patient) checkResult {
	console := hostname(p.hosts.ConsoleHost())
	label := string(workspace.NewID())
	sample := label + "." + p.hosts.WorkspaceDomain()
	if isLocalhost(console) && isLocalhost(sample) {
		return fine("%s and *.%s are this machine to every browser", console, p.hosts.WorkspaceDomain())
	}
	var found [2][]netip.Addr
	for i, host := range []string{console, sample} {
		if isLocalhost(host) {
			continue
		}
		addresses, err := p.lookup(ctx, host)
		if err != nil || len(addresses) == 0 {
			record := host
			if i == 1 {
				record = "*." + p.hosts.WorkspaceDomain()
			}
			return failed("Add a record for "+record+" that points at the gateway.", "%s does not resolve: %v", host, err)
		}
		for _, a := range addresses {
			found[i] = append(found[i], a.Unmap())
		}
	}
	here := localAddresses()
	isHere := func(a netip.Addr) bool { return slices.Contains(here, a) }
	together := slices.ContainsFunc(found[0], func(a netip.Addr) bool { return slices.Contains(found[1], a) })
	text := fmt.Sprintf("%s is %s, *.%s is %s", console, addressList(found[0]), p.hosts.WorkspaceDomain(), addressList(found[1]))
	switch {
	case slices.ContainsFunc(found[0], isHere) && slices.ContainsFunc(found[1], isHere):
		return fine("%s: this machine", text)
	case together:
		return fine("%s: not an address of this machine, but the same for both, as behind a proxy or NAT", text)
	}
	return warning("Point both at this gateway, or at the proxy before it.", "%s: they differ", text)
}

func addressList(list []netip.Addr) string {
	if len(list) == 0 {
		return "localhost"
	}
	texts := make([]string, len(list))
	for i, a := range list {
		texts[i] = a.String()
	}
	slices.Sort(texts)
	return strings.Join(texts, ", ")
}

func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return host
}

func isLocalhost(host string) bool {
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

func localAddresses() (list []netip.Addr) {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range addresses {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			list = append(list, p.Addr().Unmap())
		}
	}
	return list
}

func checkKeys(_ context.Context, p *patient) checkResult {
	dir := p.app.DataDir
	mode, exists, err := modeOf(dir)
	switch {
	case err != nil:
		return failed("See that the user who runs Kalpana can use it.", "the data directory: %v", err)
	case !exists:
		return fine("will be made in %s at the first start", dir)
	}
	// Where there is a file, loading it makes none.
	var found []string
	keyFile, keysetFile := p.app.Secrets.files(dir)
	for _, secret := range []struct {
		what, path string
		load       func() error
	}{
		{"the key", keyFile, func() error { _, err := p.app.Secrets.loadKey(dir); return err }},
		{"the keyset", keysetFile, func() error { _, err := p.app.Secrets.open(dir); return err }},
	} {
		if _, exists, err := modeOf(secret.path); secret.path != "" && err == nil && !exists {
			continue
		}
		if err := secret.load(); err != nil {
			return failed("Do as it says.", "%v", err)
		}
		found = append(found, cmp.Or(secret.path, secret.what+" from the environment"))
	}
	if mode&0o077 != 0 {
		return warning("Run: chmod 700 "+dir, "the data directory %s can be opened by others (mode %04o)", dir, mode)
	}
	if len(found) < 2 {
		return fine("what is missing will be made at the next start; found: %s", cmp.Or(strings.Join(found, ", "), "none"))
	}
	return fine("%s; for their owner alone", strings.Join(found, ", "))
}

// clockSkew is how far clocks may differ.
const clockSkew = 5 * time.Second

func checkClock(_ context.Context, p *patient) checkResult {
	now := time.Now()
	e, engineErr := p.engine()
	if engineErr == nil && !e.Clock.IsZero() {
		if d := e.Clock.Sub(e.Asked); d.Abs() > clockSkew {
			return failed("Let both machines keep time by NTP: leases and sessions end by the clock.", "the engine's clock is off by %v", d.Round(time.Second))
		}
	}
	info, storeErr := p.kept()
	if storeErr == nil && info.Newest.After(now.Add(clockSkew)) {
		return failed("Set this machine's clock (NTP): until it has caught up, leases last longer and sessions seem new. If the clock was ahead before, wait that long.",
			"the store has times that are %v ahead of this machine's clock", info.Newest.Sub(now).Round(time.Second))
	}
	switch {
	case engineErr != nil && storeErr != nil:
		return fine("there is nothing to compare it with")
	case engineErr != nil || e.Clock.IsZero():
		return fine("not behind the store")
	case storeErr != nil:
		return fine("as the engine's, within %v", clockSkew)
	}
	return fine("as the engine's, within %v, and not behind the store", clockSkew)
}

// Open files. A person with an editor takes about a dozen connections, and each that is carried on
// takes two files.
const (
	filesLow   = 65536
	filesLeast = 4096
)

func checkFiles(_ context.Context, p *patient) checkResult {
	whose := "of whoever runs this"
	limit, ok := uint64(0), false
	if pid := gatewayProcess(p.admin); pid != 0 {
		if limit, ok = fileLimitOf(pid); ok {
			whose = fmt.Sprintf("of the running gateway, process %d", pid)
		}
	}
	if !ok {
		var r syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
			return warning("", "the limit of open files cannot be read: %v", err)
		}
		limit = uint64(r.Max) //nolint:unconvert // its type differs between systems; a Go program raises its own to it
	}
	const do = "Raise it for the gateway (systemd: LimitNOFILE=1048576; else: ulimit -n)."
	found := fmt.Sprintf("%d open files, %s", limit, whose)
	if limit > math.MaxInt64 {
		found = "any number of open files, " + whose
	}
	switch {
	case limit < filesLeast:
		return failed(do, "%s: enough for some %d people", found, limit/24)
	case limit < filesLow:
		return warning(do, "%s: enough for some %d people", found, limit/24)
	}
	return fine("%s", found)
}

func checkGateway(ctx context.Context, p *patient) checkResult {
	if p.admin == "" {
		return warning("Leave out: admin off. Every command of Kalpana's asks the running gateway there.", "its admin endpoint is off")
	}
	if !strings.HasPrefix(p.admin, "unix/") {
		return warning("Set the global option: admin unix/{$KALPANA_DATA_DIR}/admin.sock|0600", "its admin endpoint is %s, where Kalpana's commands do not work", p.admin)
	}
	type reply struct {
		state drainAnswer
		err   error
	}
	answered := make(chan reply, 1)
	go func() {
		var r reply
		r.err = askGateway(p.admin, http.MethodGet, "/kalpana/drain", &r.state)
		answered <- r
	}()
	select {
	case <-ctx.Done():
		return failed("See its log; if it stays so, restart it. Containers run on.", "it does not answer at %s within %v", p.admin, p.limit)
	case r := <-answered:
		switch {
		case errors.Is(r.err, errNotOurs):
			return warning("Run this as the user who runs the gateway, or as root.", "this user may not ask it at %s", p.admin)
		case r.err != nil && lacksDirectory(p.admin):
			return failed("Make it (mkdir -m 700), or set KALPANA_DATA_DIR to it: kalpana run makes that one.", "its admin endpoint %s is in a directory that is not there", p.admin)
		case r.err != nil && strings.Contains(r.err.Error(), "does not answer at"):
			return warning("Start it: kalpana run. If it runs, see that this command has the same KALPANA_DATA_DIR and user.", "none answers at %s", p.admin)
		case r.err != nil:
			return failed("See its log.", "%v", r.err)
		case r.state.Draining:
			return warning("Stop or restart it, or let it start workspaces again: kalpana drain --undo", "it runs, and drains: it starts no workspace")
		}
		return fine("it runs; open streams: %d, held requests: %d", r.state.Streams, r.state.Held)
	}
}

// lacksDirectory reports whether a socket is in a directory that does not exist and that no start makes.
func lacksDirectory(socket string) bool {
	dir := filepath.Dir(strings.TrimPrefix(socket, "unix/"))
	_, err := os.Stat(dir)
	return errors.Is(err, fs.ErrNotExist) && dir != filepath.Clean(os.Getenv("KALPANA_DATA_DIR"))
}
