package caddymodule

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/workspace"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func adapt(t *testing.T, name string, text []byte) ([]byte, error) {
	t.Helper()
	out, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt(text, map[string]any{"filename": name})
	for _, w := range warnings {
		t.Errorf("warning: %s", w)
	}
	return out, err
}

func TestCaddyfile_AdaptsAsBefore(t *testing.T) {
	files, err := filepath.Glob("testdata/*.Caddyfile")
	if err != nil || len(files) == 0 {
		t.Fatal(err, files)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".Caddyfile"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if formatted := caddyfile.Format(text); !bytes.Equal(formatted, text) {
				t.Error("the file is not as caddy fmt leaves it")
			}
			got, err := adapt(t, file, text)
			if err != nil {
				t.Fatal(err)
			}
			var pretty bytes.Buffer
			if err := json.Indent(&pretty, got, "", "\t"); err != nil {
				t.Fatal(err)
			}
			golden := strings.TrimSuffix(file, ".Caddyfile") + ".json"
			if *update {
				if err := os.WriteFile(golden, pretty.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), pretty.String()); diff != "" {
				t.Errorf("(-golden +got); if it is meant, run: go test ./caddymodule -update\n%s", diff)
			}
		})
	}
}

func TestCaddyfile_TellsTheLineOfEachMistake(t *testing.T) {
	option := func(lines string) string { return "{\n\tkalpana {\n\t\t" + lines + "\n\t}\n}\n" }
	for _, c := range []struct{ name, text, want string }{
		{"unknown option", option("consol http://x"), "unrecognized option of kalpana: consol, at Caddyfile:3"},
		{"argument of kalpana", "{\n\tkalpana yes\n}\n", "at Caddyfile:2"},
		{"twice", option("image a\n\t\timage b"), "image is given twice, at Caddyfile:4"},
		{"two blocks", "{\n\tkalpana\n\tkalpana\n}\n", "may appear once, at Caddyfile:3"},
		{"missing argument", option("console"), "at Caddyfile:3"},
		{"too many arguments", option("console a b"), "at Caddyfile:3"},
		{"limit", option("workspace_limit few"), "workspace_limit few: give a positive value, at Caddyfile:3"},
		{"negative limit", option("workspace_limit -3"), "give a positive value, at Caddyfile:3"},
		{"running limit", option("running_limit none"), "running_limit none: give a positive value, at Caddyfile:3"},
		{"starts at once", option("starts_at_once 0"), "starts_at_once 0: give a positive value, at Caddyfile:3"},
		{"reserve", option("reserve {\n\t\t\tcpus 1\n\t\t}"), "unrecognized option of reserve: cpus, at Caddyfile:4"},
		{"reserve of no size", option("reserve {\n\t\t\tmemory much\n\t\t}"), "memory much: give a positive value, or off, at Caddyfile:4"},
		{"reserve with an argument", option("reserve 1GiB"), "at Caddyfile:3"},
		{"template without a name", option("template {\n\t\t\timage x\n\t\t}"), "at Caddyfile:3"},
		{"option of a template", option("template node {\n\t\t\tports 80\n\t\t}"), "unrecognized option of template: ports, at Caddyfile:4"},
		{"template's image twice", option("template node {\n\t\t\timage x\n\t\t\timage y\n\t\t}"), "image is given twice, at Caddyfile:5"},
		{"sleep of a template", option("template node {\n\t\t\tsleep {\n\t\t\t\tsnore on\n\t\t\t}\n\t\t}"), "unrecognized option of sleep: snore, at Caddyfile:5"},
		{"open files of a template", option("template node {\n\t\t\tlimits {\n\t\t\t\topen_files 5\n\t\t\t}\n\t\t}"), "open_files and log_size are the same for all templates"},
		{"share limit", option("share_limit everybody"), "share_limit everybody: write private, members or public, at Caddyfile:3"},
		{"no share limit", option("share_limit"), "at Caddyfile:3"},
		{"ports", option("ports 40000"), "write a range like 40000-50000, at Caddyfile:3"},
		{"timeout", option("start_timeout soon"), "at Caddyfile:3"},
		{"audit", option("audit_keep some"), "audit_keep some: give a positive value, at Caddyfile:3"},
		{"limits", option("limits {\n\t\t\tgpu 1\n\t\t}"), "unrecognized option of limits: gpu, at Caddyfile:4"},
		{"memory", option("limits {\n\t\t\tmemory much\n\t\t}"), "memory much: give a positive value, at Caddyfile:4"},
		{"sleep", option("sleep {\n\t\t\tsnore on\n\t\t}"), "unrecognized option of sleep: snore, at Caddyfile:4"},
		{"pause", option("sleep {\n\t\t\tpause_after 0\n\t\t}"), "pause_after 0: give a positive value, or off, at Caddyfile:4"},
		{"cpu", option("sleep {\n\t\t\tcpu 20\n\t\t}"), "cpu: write a percentage of the CPU limit, like 20%, or off, at Caddyfile:4"},
		{"too much cpu", option("sleep {\n\t\t\tcpu 200%\n\t\t}"), "at Caddyfile:4"},
		{"unknown secret", option("secrets {\n\t\t\tpassword x\n\t\t}"), "unrecognized option of secrets: password, at Caddyfile:4"},
		{"two keysets", option("secrets {\n\t\t\tkeyset_file a\n\t\t\tkeyset {env.B}\n\t\t}"), "give keyset_file or keyset, not both, at Caddyfile:5"},
		{"no keyset", option("secrets {\n\t\t\tkeyset\n\t\t}"), "at Caddyfile:4"},
		{"unknown rate limit", option("rate_limits {\n\t\t\tlogin 1/1m\n\t\t}"), "unrecognized option of rate_limits: login, at Caddyfile:4"},
		{"rate limits", option("rate_limits maybe"), "rate_limits maybe: write on, off, or a block, at Caddyfile:3"},
		{"rate", option("rate_limits {\n\t\t\tapi 10\n\t\t}"), "api 10: write a rate like 10/1m, a rate and how many at once like 600/1m 100, or off, at Caddyfile:4"},
		{"negative rate", option("rate_limits {\n\t\t\tapi -1/1m\n\t\t}"), "write a rate like 10/1m"},
		{"rate of no time", option("rate_limits {\n\t\t\tapi 1/0s\n\t\t}"), "write a rate like 10/1m"},
		{"nothing at once", option("rate_limits {\n\t\t\tapi 1/1m 0\n\t\t}"), "write a rate like 10/1m"},
		{"no rate", option("rate_limits {\n\t\t\tapi\n\t\t}"), "at Caddyfile:4"},
		{"agent", option("agent maybe"), "agent: write on, off, or a block, at Caddyfile:3"},
		{"option of the agent", option("agent {\n\t\t\ttemperature 1\n\t\t}"), "unrecognized option of agent: temperature, at Caddyfile:4"},
		{"mode of the agent", option("agent {\n\t\t\tmode yolo\n\t\t}"), "mode yolo: write ask-all, ask-writes or ask-none, at Caddyfile:4"},
		{"a key in two words", option("agent {\n\t\t\tkey sk-secret more\n\t\t}"), "key: give one key, best as a placeholder like {env.OPENROUTER_API_KEY}; there are 2 words, at Caddyfile:4"},
		{"two modes", option("agent {\n\t\t\tmode ask-all\n\t\t\tmode ask-none\n\t\t}"), "mode is given twice, at Caddyfile:5"},
		{"fallbacks", option("agent {\n\t\t\tfallbacks some\n\t\t}"), "fallbacks some: write on or off, at Caddyfile:4"},
		{"steps", option("agent {\n\t\t\tmax_steps 0\n\t\t}"), "max_steps 0: give a positive value, at Caddyfile:4"},
		{"time of the agent", option("agent {\n\t\t\tmax_time unlimited\n\t\t}"), "max_time unlimited: give a positive value, at Caddyfile:4"},
		{"whose budget", option("agent {\n\t\t\tbudget team {\n\t\t\t}\n\t\t}"), "budget team: write person or workspace, at Caddyfile:4"},
		{"two budgets", option("agent {\n\t\t\tbudget person\n\t\t\tbudget person\n\t\t}"), "budget person is given twice, at Caddyfile:5"},
		{"span of a budget", option("agent {\n\t\t\tbudget person {\n\t\t\t\tweek $5\n\t\t\t}\n\t\t}"), "unrecognized option of budget: week, at Caddyfile:5"},
		{"amount of a budget", option("agent {\n\t\t\tbudget person {\n\t\t\t\tday 5\n\t\t\t}\n\t\t}"), "day 5: write an amount of money like $5, or of tokens like 2M tokens, at Caddyfile:5"},
		{"no amount of a budget", option("agent {\n\t\t\tbudget person {\n\t\t\t\tday $NaN\n\t\t\t}\n\t\t}"), "write an amount of money"},
		{"negative tokens", option("agent {\n\t\t\tbudget person {\n\t\t\t\tday -2M tokens\n\t\t\t}\n\t\t}"), "write an amount of money"},
		{"two amounts", option("agent {\n\t\t\tbudget person {\n\t\t\t\tday $5\n\t\t\t\tday $6\n\t\t\t}\n\t\t}"), "day in money is given twice, at Caddyfile:6"},
		{"verdict of a rule", option("agent {\n\t\t\trule permit git\n\t\t}"), `rule: a rule begins with allow, ask or deny, not "permit", at Caddyfile:4`},
		{"rule of no tool", option("agent {\n\t\t\trule allow\n\t\t}"), "rule: a rule is allow, ask or deny, then a tool, then a command or path if it is not for all of its calls, at Caddyfile:4"},
		{"rule that allows anything", option("agent {\n\t\t\trule allow runCommand xargs\n\t\t}"), "rule: xargs runs what its arguments say: no rule can allow it, at Caddyfile:4"},
		{"mcp without an address", option("agent {\n\t\t\tmcp docs\n\t\t}"), "mcp: give a name and an address, at Caddyfile:4"},
		{"option of mcp", option("agent {\n\t\t\tmcp docs https://x.example {\n\t\t\t\ttoken x\n\t\t\t}\n\t\t}"), "unrecognized option of mcp: token, at Caddyfile:5"},
		{"header of mcp", option("agent {\n\t\t\tmcp docs https://x.example {\n\t\t\t\theader Authorization Bearer secret\n\t\t\t}\n\t\t}"), "header: give a name and a value, in quotes where it has a space; there are 3 words, at Caddyfile:5"},
		{"no store", option("store"), "at Caddyfile:3"},
		{"unknown store", option("store paper"), "kalpana.store.paper"},
		{"option of the store", option("store sqlite {\n\t\t\tfile x\n\t\t}"), "unrecognized option of sqlite: file, at Caddyfile:4"},
		{"option of mongodb", option("store mongodb {\n\t\t\tcollection x\n\t\t}"), "unrecognized option of mongodb: collection, at Caddyfile:4"},
		{"no uri", option("store mongodb {\n\t\t\turi\n\t\t}"), "at Caddyfile:4"},
		{"two keys", option("secrets {\n\t\t\tkey_file a\n\t\t\tkey {env.B}\n\t\t}"), "give key_file or key, not both, at Caddyfile:5"},
		{"option of the runtime", option("runtime docker {\n\t\t\tsocket x\n\t\t}"), "unrecognized option of docker: socket, at Caddyfile:4"},
		{"flag of the runtime", option("runtime docker {\n\t\t\tallow_private maybe\n\t\t}"), "write true or false, at Caddyfile:4"},
		{"option of the login", option("login link {\n\t\t\tlife 3m\n\t\t}"), "unrecognized option of link: life, at Caddyfile:4"},
		{"option of github", option("login github {\n\t\t\tsecret x\n\t\t}"), "unrecognized option of github: secret, at Caddyfile:4"},
		{"client of github", option("login github {\n\t\t\tclient bot\n\t\t}"), "client bot: write oauth or app, at Caddyfile:4"},
		{"two names", option("login github a b"), "at Caddyfile:3"},
		{"no scopes", option("login github {\n\t\t\tscopes\n\t\t}"), "at Caddyfile:4"},
		{"oidc without a name", option("login oidc {\n\t\t\tissuer https://x.example\n\t\t}"), "login oidc needs a name"},
		{"option of oidc", option("login oidc corp {\n\t\t\tdiscovery x\n\t\t}"), "unrecognized option of oidc: discovery, at Caddyfile:4"},
		{"parameter of oidc", option("login oidc corp {\n\t\t\tparameter prompt\n\t\t}"), "at Caddyfile:4"},
		{"unknown login", option("login smtp"), "kalpana.login.smtp"},
		{"access", option("access yes"), "at Caddyfile:3"},
		{"option of access", option("access {\n\t\t\tdeny user github:x\n\t\t}"), "unrecognized option of access: deny, at Caddyfile:4"},
		{"rule without value", option("access {\n\t\t\tallow domain\n\t\t}"), "at Caddyfile:4"},
		{"kind of rule", option("access {\n\t\t\tallow everybody now\n\t\t}"), "it is user, email, domain, org, team or group, at Caddyfile:4"},
		{"rule without login", option("access {\n\t\t\tallow user octocat\n\t\t}"), "write it like github:octocat"},
		{"domain", option("access {\n\t\t\tallow domain a@corp.com\n\t\t}"), "write it like example.com, at Caddyfile:4"},
		{"e-mail", option("access {\n\t\t\tadmin email a@b@corp.com\n\t\t}"), "write it like asha@example.com, at Caddyfile:4"},
		{"workspace handler", ":80 {\n\tkalpana_workspace fast\n}\n", "at Caddyfile:2"},
		{"workspace handler's block", ":80 {\n\tkalpana_workspace {\n\t\tx\n\t}\n}\n", "unrecognized option of kalpana_workspace: x, at Caddyfile:3"},
		{"console", ":80 {\n\tkalpana_console here\n}\n", "takes neither arguments nor a block"},
		{"role of a site", ":80 {\n\tkalpana_auth {\n\t\trole boss\n\t}\n}\n", "role boss: there are admin and member, at Caddyfile:3"},
		{"option of a site", ":80 {\n\tkalpana_auth {\n\t\thost x\n\t}\n}\n", "unrecognized option of kalpana_auth: host, at Caddyfile:3"},
		{"address of a site", ":80 {\n\tkalpana_auth {\n\t\taddress\n\t}\n}\n", "at Caddyfile:3"},
		{"permission", "{\n\ton_demand_tls {\n\t\tpermission kalpana {\n\t\t\tany\n\t\t}\n\t}\n}\n", "unrecognized option of kalpana: any, at Caddyfile:4"},
		{"authenticator", ":80 {\n\tkalpana_auth /x y\n}\n", "at Caddyfile:2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := adapt(t, "Caddyfile", []byte(c.text))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// validate provisions a configuration as caddy validate does.
func validate(t *testing.T, text string) error {
	t.Helper()
	body, err := adapt(t, "Caddyfile", []byte(text))
	if err != nil {
		return err
	}
	var config caddy.Config
	if err := json.Unmarshal(body, &config); err != nil {
		return err
	}
	return caddy.Validate(&config)
}

func site(options string) string {
	return string(caddyfile.Format(fmt.Appendf(nil, "{\n\tadmin off\n\tkalpana {\n\t\t%s\n\t}\n}\nhttp://kalpana.localhost:8080 {\n\tkalpana_console\n}\nhttp://*.ws.kalpana.localhost:8080 {\n\tkalpana_workspace\n}\n", options)))
}

func TestValidate_WritesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if err := validate(t, site("data_dir "+dir)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the data directory was made: %v", err)
	}
	left := 0
	instances.Range(func(any, any) bool { left++; return true })
	if left != 0 {
		t.Errorf("%d instances are left", left)
	}
}

func TestValidate_RefusesWhatCannotWork(t *testing.T) {
	for _, c := range []struct{ name, options, want string }{
		{"plain http", "console http://kalpana.example.com", "use https, or a host under .localhost"},
		{"bare localhost", "console http://localhost:8080", "use kalpana.localhost"},
		{"no address", "console kalpana", "write it like https://kalpana.example.com"},
		{"privileged ports", "ports 80-90", "give a range within 1024 and 65535"},
		{"ports upside down", "ports 50000-40000", "give a range"},
		{"github without a secret", "login github {\nclient_id x\n}", "login github: client_id and client_secret are needed"},
		{"a secret that is not there", "login github {\nclient_id x\nclient_secret {env.KALPANA_NO_SUCH_SECRET}\n}", "client_secret {env.KALPANA_NO_SUCH_SECRET} is empty"},
		{"oidc without an issuer", "login oidc corp {\nclient_id x\n}", "login corp: issuer and client_id are needed"},
		{"an issuer over plain http", "login oidc corp {\nissuer http://login.example.com\nclient_id x\n}", "use https"},
		{"two logins of a name", "login oidc corp {\nissuer https://x.example\nclient_id x\n}\nlogin github corp {\nclient_id x\nclient_secret y\n}", "login corp is given twice"},
		{"a login called link", "login github link {\nclient_id x\nclient_secret y\n}", "and is not link"},
		{"a login with a slash", "login github a/b {\nclient_id x\nclient_secret y\n}", "login name"},
		{"a rule about no login", "access {\nallow user corp:x\n}", "there is no login corp"},
		{"an agent's address", "agent {\nbase_url models.example.com\n}", "agent: base_url: write an address like https://models.example.com/v1"},
		{"an agent's address with a password", "agent {\nbase_url https://a:b@models.example.com\n}", "base_url: write an address"},
		{"a model twice", "agent {\nmodels a b a\n}", "models: a is given twice"},
		{"a key that is a file that is not there", "agent {\nkey {file./no/such/file}\n}", "key {file./no/such/file} is empty"},
		{"a name of mcp", "agent {\nmcp Docs https://x.example\n}", "mcp Docs: a name is made of lower-case letters"},
		{"two mcp of a name", "agent {\nmcp docs https://x.example\nmcp docs https://y.example\n}", "mcp docs: it is given twice"},
		{"an address of mcp", "agent {\nmcp docs ftp://x.example\n}", "mcp docs: write an address"},
		{"a header of mcp that is empty", "agent {\nmcp docs https://x.example {\nheader Authorization {env.KALPANA_NO_SUCH_SECRET}\n}\n}", "header Authorization {env.KALPANA_NO_SUCH_SECRET} is empty"},
		{"organisations of oidc", "login oidc corp {\nissuer https://x.example\nclient_id x\n}\naccess {\nallow org corp:acme\n}", "a login of kind oidc has no orgs"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := validate(t, site(c.options)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// The Caddyfile in the root is what a person starts with.
func TestRootCaddyfile_IsValidAsItIs(t *testing.T) {
	text, err := os.ReadFile("../Caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	if formatted := caddyfile.Format(text); !bytes.Equal(formatted, text) {
		t.Error("the Caddyfile is not as caddy fmt leaves it")
	}
	t.Setenv("KALPANA_DATA_DIR", t.TempDir())
	if err := validate(t, string(text)); err != nil {
		t.Error(err)
	}
}

// What a person copies from the documentation works.
func TestDocs_TheirCaddyfilesAreValid(t *testing.T) {
	found := 0
	for _, file := range []string{"../README.md", "../docs/how-to/deploy.md", "../docs/how-to/protect-a-site.md", "../docs/how-to/agent.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, part := range strings.Split(string(text), "```caddyfile\n")[1:] {
			config, _, _ := strings.Cut(part, "\n```")
			config = strings.ReplaceAll(config+"\n", "dns cloudflare {env.CLOUDFLARE_API_TOKEN}", "issuer internal") // a plugin
			found++
			t.Run(fmt.Sprintf("%s %d", filepath.Base(file), i+1), func(t *testing.T) {
				if formatted := caddyfile.Format([]byte(config)); string(formatted) != config && filepath.Base(file) != "README.md" {
					t.Error("it is not as caddy fmt leaves it")
				}
				if strings.Contains(config, "kalpana_console\n") && !strings.Contains(config, "\tadmin unix/") {
					t.Error("no command of Kalpana's reaches its gateway, the sign-in link for the first admin included")
				}
				if !strings.HasPrefix(config, "{") { // a part of one
					config = "{\n\tkalpana {\n\t\tconsole https://kalpana.example.com\n\t}\n}\n" + config
				}
				if err := validate(t, config); err != nil {
					t.Error(err)
				}
			})
		}
	}
	if found < 6 {
		t.Errorf("%d Caddyfiles were found", found)
	}
}

func TestTemplates_WhatCannotBeIsRefused(t *testing.T) {
	for _, c := range []struct{ lines, want string }{
		{"template node", ""},
		{"template corp {\n\t\t\timage corp/image:1\n\t\t}", ""},
		{"template corp", "there is no template corp in the workspace image; give it an image, or take one of: blank, node, python"},
		{"template node\n\t\ttemplate node", "template node is given twice"},
		{"template Corp {\n\t\t\timage x\n\t\t}", `template "Corp": a name is made of lower-case letters`},
	} {
		err := validate(t, "{\n\tkalpana {\n\t\t"+c.lines+"\n\t\tdata_dir "+t.TempDir()+"\n\t}\n}\n")
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.lines, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", c.lines, err, c.want)
		}
	}
}

func TestLimits_ZeroIsTheDefaultAndLessIsNone(t *testing.T) {
	const mib, gib = 1 << 20, 1 << 30
	if got := new(Limits).resolve(); got != (orchestrator.Limits{Memory: 4 * gib, CPUs: 2, PIDs: 2048, OpenFiles: 16384, LogSize: 10 * mib, Disk: 20 * gib}) {
		t.Errorf("defaults: %+v", got)
	}
	none := &Limits{Memory: -1, CPUs: -1, PIDs: -1, OpenFiles: -1, LogSize: -1, Disk: -1}
	if got := none.resolve(); got != (orchestrator.Limits{}) {
		t.Errorf("none: %+v", got)
	}
	if got := (*Reserve)(nil).resolve(); got != (orchestrator.Reserve{Memory: -1, Disk: -1}) {
		t.Errorf("reserve: %+v", got)
	}
	if got := (&Reserve{Memory: -1, Disk: 3 * gib}).resolve(); got != (orchestrator.Reserve{Disk: 3 * gib}) {
		t.Errorf("reserve: %+v", got)
	}
}

func TestTemplates_OfOtherImagesAreOfferedToo(t *testing.T) {
	a := &App{Sleep: &Sleep{StopAfter: -1}, Templates: []*Template{
		{Name: "node", Limits: &Limits{Memory: 1 << 30, CPUs: -1}, Sleep: &Sleep{PauseAfter: caddy.Duration(time.Minute)}},
		{Name: "cuda", Image: "corp/cuda:1", Limits: &Limits{Disk: 5}},
	}}
	want := []orchestrator.Template{
		{Name: "blank"},
		{Name: "node", Quota: workspace.Quota{Memory: 1 << 30, CPUs: -1}, Sleep: &orchestrator.Sleep{PauseAfter: time.Minute, MaxAwake: 24 * time.Hour}},
		{Name: "python"},
		{Name: "cuda", Image: "corp/cuda:1", Quota: workspace.Quota{Disk: 5}},
	}
	if diff := cmp.Diff(want, a.orchestratorTemplates()); diff != "" {
		t.Error(diff)
	}
	list := a.templates()
	if last := list[len(list)-1]; len(list) != 4 || last.Name != "cuda" || last.Title != "cuda" || last.Ports == nil {
		t.Errorf("%+v", list)
	}
}
