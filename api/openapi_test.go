package api_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/workspace"
)

var update = flag.Bool("update", false, "write web/openapi.json anew")

// openapiFile is what the console's types are made from.
const openapiFile = "../web/openapi.json"

func TestOpenAPI_IsWhatTheConsoleIsBuiltFrom(t *testing.T) {
	raw, err := newSite(t).OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, raw, "", "  "); err != nil {
		t.Fatal(err)
	}
	pretty.WriteByte('\n')
	if *update {
		if err := os.WriteFile(openapiFile, pretty.Bytes(), 0o644); err != nil { //nolint:gosec // a file of the checkout
			t.Fatal(err)
		}
	}
	committed, err := os.ReadFile(openapiFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(committed), pretty.String()); diff != "" {
		t.Errorf("web/openapi.json is not what the API is. Run: go test ./api -run TestOpenAPI -update && (cd web && npm run generate)\n%s", diff)
	}
}

// document is the part of OpenAPI that the tests look at.
type document struct {
	OpenAPI    string
	Paths      map[string]map[string]operation
	Components struct {
		Schemas map[string]struct {
			Properties map[string]struct{ Enum []string }
			Required   []string
		}
	}
}

type operation struct {
	OperationID string
	Parameters  []struct {
		Name, In string
		Required bool
	}
	RequestBody *struct{ Required bool }
	Security    []map[string][]string
	Responses   map[string]struct {
		Content map[string]struct{ Schema map[string]any }
	}
}

func openAPI(t *testing.T, s *site) document {
	t.Helper()
	raw, err := s.OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	var d document
	if err := json.Unmarshal(raw, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestOpenAPI_DescribesEachRoute(t *testing.T) {
	s := newSite(t)
	d := openAPI(t, s)
	if d.OpenAPI != "3.1.0" {
		t.Errorf("version %q", d.OpenAPI)
	}
	for path, operations := range d.Paths {
		for method, op := range operations {
			if op.OperationID == "" {
				t.Errorf("%s %s has no name", method, path)
			}
			var inPath []string
			for _, p := range op.Parameters {
				if p.In == "path" && p.Required {
					inPath = append(inPath, p.Name)
				}
			}
			if want := strings.Contains(path, "{id}"); want != slices.Contains(inPath, "id") {
				t.Errorf("%s %s: parameters %v", method, path, op.Parameters)
			}
			if _, ok := op.Responses["default"].Content["application/problem+json"]; !ok {
				t.Errorf("%s %s: errors are not described as problems: %v", method, path, op.Responses)
			}
		}
	}
	if _, ok := d.Paths["/api/events"]["get"].Responses["200"].Content["text/event-stream"]; !ok {
		t.Error("the event stream is not described as one")
	}
	for _, name := range []string{"Workspace", "Workspaces", "NewWorkspace", "WorkspaceChange", "Template", "Templates", "Me", "LinkToken", "Sessions", "Tokens", "NewToken", "CreatedToken", "AuditEvents", "ErrorModel"} {
		if _, ok := d.Components.Schemas[name]; !ok {
			t.Errorf("no schema %s", name)
		}
	}
	var states []string
	for _, state := range workspace.States {
		states = append(states, string(state))
	}
	if diff := cmp.Diff(states, d.Components.Schemas["Workspace"].Properties["state"].Enum); diff != "" {
		t.Errorf("states: %s", diff)
	}
}

func TestOpenAPI_IsServed(t *testing.T) {
	w := newSite(t).stranger().must(200, "GET", "/api/openapi.json", nil)
	if !json.Valid(w.Body.Bytes()) || !strings.HasSuffix(w.Header().Get("Content-Type"), "json") {
		t.Errorf("%q: %.100q", w.Header().Get("Content-Type"), w.Body)
	}
}

func TestAPI_OtherAddressesAndMethodsAreProblemsToo(t *testing.T) {
	asha := newSite(t).signIn("Asha")
	for _, path := range []string{"/api/", "/api/nowhere", "/api/me/", "/api/workspaces/", "/api/workspaces/abcdefghij/", "/api/workspaces/abcdefghij/sleep", "/api/schemas/Me.json", "/api/docs"} {
		asha.must(404, "GET", path, nil)
	}
	for _, test := range []struct{ method, path, allow string }{
		{"POST", "/api/me", "GET"},
		{"DELETE", "/api/workspaces", "GET, POST"},
		{"PUT", "/api/workspaces/abcdefghij", "GET, PATCH, DELETE"},
		{"GET", "/api/logout", "POST"},
		{"GET", "/api/workspaces/abcdefghij/start", "POST"},
		{"GET", "/api/workspaces/abcdefghij/pause", "POST"},
		{"POST", "/api/workspaces/abcdefghij/keep-awake", "PUT, DELETE"},
		{"OPTIONS", "/api/workspaces", "GET, POST"},
		{"BREW", "/api/me", "GET"},
		{"POST", "/api/events", "GET"},
	} {
		w := asha.must(405, test.method, test.path, nil)
		if got := w.Header().Get("Allow"); got != test.allow {
			t.Errorf("%s %s: Allow %q, want %q", test.method, test.path, got, test.allow)
		}
	}
}
