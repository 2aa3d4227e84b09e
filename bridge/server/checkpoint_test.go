package server

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kalpana-dev/kalpana/bridge"
)

func TestCheckpoints_OutliveTheContainerBesideTheWorkspaceFolder(t *testing.T) {
	c := start(t, "serve")
	cl := c.dial()
	c.write("f", "one\n")
	ctx := t.Context()
	begun, err := cl.BeginCheckpoint(ctx, bridge.BeginCheckpointParams{Chat: "chat", Message: "m", Call: "1"})
	if err != nil {
		t.Fatal(err)
	}
	c.write("f", "two\n")
	c.write("new", "x\n")
	ended, err := cl.EndCheckpoint(ctx, bridge.EndCheckpointParams{ID: begun.ID})
	if err != nil || ended.Total != 2 {
		t.Fatalf("%+v, %v", ended, err)
	}
	open, err := cl.BeginCheckpoint(ctx, bridge.BeginCheckpointParams{Chat: "chat", Message: "m", Call: "2"})
	if err != nil {
		t.Fatal(err)
	}
	list, err := cl.ListFiles(ctx, bridge.ListFilesParams{})
	if err != nil || len(list.Entries) != 2 {
		t.Errorf("what is kept is in the workspace folder: %+v, %v", list, err)
	}
	if err := c.stop(); err != nil {
		t.Fatal(err)
	}

	home, workspace := c.home, c.workspace
	c = start(t, "serve", func(cfg *Config) { cfg.WorkspaceDir = workspace })
	c.home, c.workspace = home, workspace
	cl = c.dial()
	if _, err := cl.EndCheckpoint(ctx, bridge.EndCheckpointParams{ID: open.ID}); !errors.Is(err, bridge.ErrNotFound) {
		t.Errorf("%v", err)
	}
	found, err := cl.CheckpointChanges(ctx, bridge.CheckpointChangesParams{Chat: "chat", Diffs: true})
	if err != nil || len(found.Turns) != 1 || len(found.Turns[0].Files) != 2 || found.Turns[0].Files[0].Diff == "" {
		t.Fatalf("%+v, %v", found, err)
	}
	if _, err := cl.UndoCheckpoints(ctx, bridge.UndoCheckpointsParams{Chat: "chat", Message: "m"}); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(workspace, "f")); err != nil || string(b) != "one\n" {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := os.Stat(filepath.Join(workspace, "new")); !os.IsNotExist(err) {
		t.Errorf("%v", err)
	}
}

func TestCheckpoints_RefuseWhatIsNoneOfTheirs(t *testing.T) {
	c := start(t, "serve")
	cl := c.dial()
	ctx := t.Context()
	if err := cl.ForgetCheckpoints(ctx, bridge.ForgetCheckpointsParams{Chat: "chat"}); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(c.home, checkpointsDir)); !os.IsNotExist(err) {
		t.Errorf("a chat that was forgotten left something: %v", err)
	}
	if _, err := cl.BeginCheckpoint(ctx, bridge.BeginCheckpointParams{Chat: "a\x1bb", Message: "m", Call: "c"}); !errors.Is(err, bridge.ErrInvalid) {
		t.Error(err)
	}
	if _, err := cl.UndoCheckpoints(ctx, bridge.UndoCheckpointsParams{Chat: "chat", Path: "../x"}); !errors.Is(err, bridge.ErrOutside) {
		t.Error(err)
	}
	if _, err := cl.UndoCheckpoints(ctx, bridge.UndoCheckpointsParams{Chat: "chat"}); !errors.Is(err, bridge.ErrNotFound) {
		t.Error(err)
	}
}

func TestLocal_FilesThatAPersonSavesAreNotTheAgents(t *testing.T) {
	c := start(t, "serve")
	cl := c.dial()
	c.write("f", "one\n")
	begun, err := cl.BeginCheckpoint(t.Context(), bridge.BeginCheckpointParams{Chat: "chat", Message: "m", Call: "1"})
	if err != nil {
		t.Fatal(err)
	}
	c.write("f", "mine\n")
	if status, body := c.local(http.MethodPost, bridge.LocalFilesPath, `{"paths":["`+filepath.Join(c.workspace, "f")+`"]}`); status != http.StatusNoContent {
		t.Errorf("%d %s", status, body)
	}
	ended, err := cl.EndCheckpoint(t.Context(), bridge.EndCheckpointParams{ID: begun.ID})
	if err != nil || ended.Total != 0 {
		t.Errorf("%+v, %v", ended, err)
	}
	for _, body := range []string{"", "[]", `{"paths":1}`, `{"paths":[` + strings.Repeat(`"x",`, bridge.MaxPersonFiles) + `"x"]}`, strings.Repeat(" ", localFiles+1)} {
		if status, _ := c.local(http.MethodPost, bridge.LocalFilesPath, body); status != http.StatusBadRequest {
			t.Errorf("%.40s: %d", body, status)
		}
	}
}
