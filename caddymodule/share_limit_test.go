package caddymodule

import (
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/orchestrator/runtimetest"
	"github.com/kalpana-dev/kalpana/workspace"
)

type fakeRuntime struct{ *runtimetest.Runtime }

func (f fakeRuntime) Open(RuntimeOptions) (orchestrator.Runtime, error) { return f.Runtime, nil }

// A reload with another configuration opens a second instance before the first one closes.
func TestShareLimit_LoweredByAReloadEndsWhatIsOpen(t *testing.T) {
	dir, runtime := t.TempDir(), runtimetest.New(t)
	open := func(limit workspace.ShareLevel) *instance {
		t.Helper()
		i := newInstance(App{
			Console: "http://kalpana.localhost:8080", DataDir: dir, Image: "image", FirstPort: 40000, LastPort: 50000,
			WorkspaceLimit: 5, ShareLimit: limit, Limits: new(Limits),
		}, guests{store: new(SQLite), runtime: fakeRuntime{runtime}})
		if err := i.open(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = i.Destruct() })
		return i
	}
	before := open(workspace.SharePublic)
	w, err := before.orchestrator.Create(t.Context(), orchestrator.NewWorkspace{Owner: "ann", Name: "mine", Template: templates()[0].Name})
	if err != nil {
		t.Fatal(err)
	}
	host := func(port int) workspace.Host {
		return workspace.Host{Kind: workspace.HostPreview, ID: w.ID, Port: port}
	}
	held := map[int]<-chan struct{}{}
	for port, level := range map[int]workspace.ShareLevel{5000: workspace.SharePublic, 4000: workspace.ShareMembers} {
		if _, _, err := before.orchestrator.Share(t.Context(), "ann", w.ID, workspace.Share{Port: port, Level: level}); err != nil {
			t.Fatal(err)
		}
		visitor, err := before.identity.Visitor(host(port))
		if err != nil {
			t.Fatal(err)
		}
		ctx, release := before.identity.Hold(t.Context(), visitor)
		defer release()
		held[port] = ctx.Done()
	}
	after := open(workspace.ShareMembers)
	select {
	case <-held[5000]:
	case <-time.After(5 * time.Second):
		t.Error("what is open by the wider share goes on")
	}
	select {
	case <-held[4000]:
		t.Error("what the limit allows was ended too")
	default:
	}
	access, err := after.orchestrator.Access(t.Context(), host(5000))
	if err != nil || access.Share.Level != workspace.ShareMembers {
		t.Errorf("%+v, %v", access, err)
	}
}
