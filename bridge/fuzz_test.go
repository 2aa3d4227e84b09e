package bridge

import (
	"encoding/json"
	"strings"
	"testing"
)

// FuzzAnswers reads whatever a container answers: what the checks let pass is within its bounds and fit to be shown.
func FuzzAnswers(f *testing.F) {
	for _, seed := range []string{
		`{}`, `null`, `[]`, `{"entries":[{"path":"a\u001b","type":"file"}]}`, `{"status":{"root":".","files":[{"path":"../x","index":"M"}]}}`,
		`{"status":{"root":"a/..","branch":"\u202e","remotes":[{"name":"\u0007","push":["x"]}]}}`, `{"log":{"commits":[{"hash":"x","subject":"\u001b[0m"}]}}`,
		`{"ports":[{"port":70000,"address":"any"}]}`, `{"ports":[{"port":1,"address":"any","process":"\u0000"}]}`, `{"cpu":{"share":1e308}}`,
		`{"exitCode":0,"failure":"nothing"}`, `{"exitCode":1,"output":"a\u001b\nb"}`, `{"protocol":1,"methods":["\u0000"]}`,
		`{"matches":[{"path":"a","line":1,"column":1,"text":"\u009b","before":["x"]}]}`, `{"commands":[{"id":"x","command":"\u0007"}]}`,
		`{"content":"eA==","encoding":"base64","size":1,"version":"h"}`, `{"branch":{"branches":[{"name":"\u0000","commit":""}]}}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, answer string) {
		show(t, answer, (*GitResult).check)
		show(t, answer, (*HelloResult).check)
		show(t, answer, (*HealthResult).check)
		show(t, answer, (*ListPortsResult).check)
		show(t, answer, (*ResourcesResult).check)
		show(t, answer, (*ListCommandsResult).check)
		show(t, answer, (*ListTerminalsResult).check)
		show(t, answer, func(r *ListFilesResult) error { return r.check(&ListFilesParams{}) })
		show(t, answer, func(r *SearchCodeResult) error { return r.check(&SearchCodeParams{Context: 1}) })
		var read ReadFileResult
		if json.Unmarshal([]byte(answer), &read) == nil && read.check(&ReadFileParams{Limit: 100}) == nil {
			if b, err := read.Bytes(); err != nil || len(b) > 100 {
				t.Errorf("%q: %d bytes, %v", answer, len(b), err)
			}
		}
	})
}

// show checks an answer, and that nothing in what passes could play with a terminal.
func show[R any](t *testing.T, answer string, check func(*R) error) {
	t.Helper()
	r := new(R)
	if json.Unmarshal([]byte(answer), r) != nil || check(r) != nil {
		return
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var shown strings.Builder
	var plain any
	if err := json.Unmarshal(text, &plain); err != nil {
		t.Fatal(err)
	}
	if d, ok := plain.(map[string]any)["diff"].(map[string]any); ok {
		delete(d, "diff") // raw, as its comment says
	}
	collect(&shown, plain)
	if s := shown.String(); strings.ContainsAny(s, "\x00\x07\x1b\u009b\u202e\r") {
		t.Errorf("%T lets %q through: %q", r, answer, s)
	}
}

// collect writes every text in a JSON value.
func collect(to *strings.Builder, v any) {
	switch v := v.(type) {
	case string:
		to.WriteString(v)
	case []any:
		for _, x := range v {
			collect(to, x)
		}
	case map[string]any:
		for _, x := range v {
			collect(to, x)
		}
	}
}
