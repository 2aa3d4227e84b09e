package bridge

import (
	"errors"
	"strings"
	"testing"
)

func TestCheckpoints_ResultsThatCannotBeTrueAreErrors(t *testing.T) {
	begin := func(c *Client) error {
		_, err := c.BeginCheckpoint(t.Context(), BeginCheckpointParams{Chat: "c", Message: "m", Call: "1"})
		return err
	}
	end := func(c *Client) error {
		_, err := c.EndCheckpoint(t.Context(), EndCheckpointParams{ID: "x"})
		return err
	}
	changes := func(c *Client) error {
		_, err := c.CheckpointChanges(t.Context(), CheckpointChangesParams{Chat: "c"})
		return err
	}
	undo := func(c *Client) error {
		_, err := c.UndoCheckpoints(t.Context(), UndoCheckpointsParams{Chat: "c"})
		return err
	}
	forget := func(c *Client) error { return c.ForgetCheckpoints(t.Context(), ForgetCheckpointsParams{Chat: "c"}) }
	turn := func(file string) string { return `{"turns":[{"messageId":"m","files":[{` + file + `}]}]}` }
	for name, tc := range map[string]struct {
		result string
		call   func(*Client) error
	}{
		"no id":              {`{"files":1}`, begin},
		"an id to be shown":  {`{"id":"\u001b[2J"}`, begin},
		"negative files":     {`{"id":"a","files":-1}`, begin},
		"a path outside":     {`{"changes":[{"path":"../x","status":"added"}]}`, end},
		"an absolute path":   {`{"changes":[{"path":"/etc/passwd","status":"added"}]}`, end},
		"no status":          {`{"changes":[{"path":"x"}]}`, end},
		"too many changes":   {`{"changes":[` + strings.Repeat(`{"path":"x","status":"added"},`, MaxCheckpointChanges) + `{"path":"x","status":"added"}]}`, end},
		"negative total":     {`{"total":-1}`, end},
		"another status":     {turn(`"path":"x","status":"<b>"`), changes},
		"a long diff":        {turn(`"path":"x","status":"added","diff":"` + strings.Repeat("x", MaxCheckpointDiff+1) + `"`), changes},
		"a turn of nothing":  {`{"turns":[{"files":[]}]}`, changes},
		"a turn to be shown": {`{"turns":[{"messageId":"a\nb","files":[]}]}`, changes},
		"another result":     {`{"files":[{"path":"x","result":"perfect"}]}`, undo},
		"undone outside":     {`{"files":[{"path":"a/../../x","result":"restored"}]}`, undo},
		"an id of an undo":   {`{"id":"a b\u0007"}`, undo},
		"an array":           {`[]`, forget},
	} {
		if err := tc.call(hostile(t, answers("result", tc.result))); !errors.Is(err, ErrBadAnswer) {
			t.Errorf("%s: %v", name, err)
		}
	}
	c := hostile(t, answers("result", turn(`"path":"a\u001b[31m\u202eb","status":"added","diff":"+a\u001b[2J\u202eb\r\n"`)))
	r, err := c.CheckpointChanges(t.Context(), CheckpointChangesParams{Chat: "c"})
	if err != nil {
		t.Fatal(err)
	}
	if f := r.Turns[0].Files[0]; f.Path != "a\uFFFD[31m\uFFFDb" || f.Diff != "+a\uFFFD[2J\uFFFDb\n" {
		t.Errorf("%+v", f)
	}
}
