package caddymodule

import (
	"cmp"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

const operationsDir = "../docs/operations"

// ourMetrics returns the labels of every metric that an installation has, by its name.
func ourMetrics(t *testing.T) map[string][]string {
	t.Helper()
	descs := make(chan *prometheus.Desc, 1000)
	for _, c := range newInstance(App{}, guests{}).collectors() {
		c.Describe(descs)
	}
	close(descs)
	form := regexp.MustCompile(`fqName: "(\w+)".*constLabels: \{([^}]*)\}, variableLabels: \{([^}]*)\}`)
	word := regexp.MustCompile(`\w+`)
	known := map[string][]string{}
	for d := range descs {
		parts := form.FindStringSubmatch(d.String())
		if parts == nil {
			t.Fatalf("a metric that cannot be read: %s", d)
		}
		labels := word.FindAllString(parts[3], -1)
		for constant := range strings.SplitSeq(parts[2], ",") {
			if name, _, ok := strings.Cut(constant, "="); ok {
				labels = append(labels, name)
			}
		}
		known[parts[1]] = labels
	}
	return known
}

var (
	metricUse  = regexp.MustCompile(`\b((?:kalpana|gen_ai_client|gen_ai_invoke|gen_ai_execute)_\w+)(\{[^}]*\})?`)
	labelUse   = regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)`)
	groupingOf = regexp.MustCompile(`\b(?:by|on|without|ignoring)\s*\(([^)]*)\)`)
)

// checkQuery checks that a query asks for metrics and labels that there are, and returns the metrics.
func checkQuery(t *testing.T, where, query string, known map[string][]string) (used []string) {
	t.Helper()
	all := []string{"instance", "job"} // those of the scrape
	for _, use := range metricUse.FindAllStringSubmatch(query, -1) {
		name := use[1]
		labels, ok := known[name]
		for _, suffix := range []string{"_bucket", "_count", "_sum"} {
			if base, cut := strings.CutSuffix(use[1], suffix); cut && !ok {
				if labels, ok = known[base]; ok {
					name, labels = base, append(slices.Clone(labels), "le")
				}
			}
		}
		if !ok {
			t.Errorf("%s: there is no metric %s", where, use[1])
			continue
		}
		used = append(used, name)
		all = append(all, labels...)
		for _, label := range labelUse.FindAllStringSubmatch(use[2], -1) {
			if !slices.Contains(labels, label[1]) && label[1] != "instance" {
				t.Errorf("%s: %s has no label %s", where, use[1], label[1])
			}
		}
	}
	for _, grouping := range groupingOf.FindAllStringSubmatch(query, -1) {
		for label := range strings.SplitSeq(grouping[1], ",") {
			if label = strings.TrimSpace(label); !slices.Contains(all, label) {
				t.Errorf("%s: nothing there has the label %s", where, label)
			}
		}
	}
	return used
}

func readDoc(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestDashboard_AsksForMetricsThatExistAndShowsAllOfThem(t *testing.T) {
	known := ourMetrics(t)
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(readDoc(t, filepath.Join(operationsDir, "dashboard.json"))), &dashboard); err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			used := checkQuery(t, panel.Title, target.Expr, known)
			if len(used) == 0 {
				t.Errorf("%s: it asks for nothing of ours: %s", panel.Title, target.Expr)
			}
			for _, name := range used {
				shown[name] = true
			}
		}
	}
	for name := range known {
		if !shown[name] {
			t.Errorf("no panel shows %s", name)
		}
	}
}

func TestAlerts_AskForMetricsThatExistAndEachHasItsPage(t *testing.T) {
	known := ourMetrics(t)
	rules, runbook, tests := readDoc(t, filepath.Join(operationsDir, "alerts.yml")), readDoc(t, filepath.Join(operationsDir, "alerts.md")), readDoc(t, filepath.Join(operationsDir, "alerts_test.yml"))
	blocks := strings.Split(rules, "- alert: ")[1:]
	if len(blocks) == 0 {
		t.Fatal("there are no rules")
	}
	for _, block := range blocks {
		name, rule, _ := strings.Cut(block, "\n")
		checkQuery(t, name, rule, known)
		if !strings.Contains(runbook, "\n## "+name+"\n") {
			t.Errorf("alerts.md has no section %s", name)
		}
		if !strings.Contains(rule, `runbook: "alerts.md#`+strings.ToLower(name)+`"`) {
			t.Errorf("%s does not lead to its section of alerts.md", name)
		}
	}
	for _, section := range regexp.MustCompile(`(?m)^## (Kalpana\w+)$`).FindAllStringSubmatch(runbook, -1) {
		if !strings.Contains(rules, "- alert: "+section[1]+"\n") {
			t.Errorf("alerts.md tells of %s, which there is not", section[1])
		}
	}
	checkQuery(t, "alerts_test.yml", tests, known)
}

func TestMetricsReference_NamesAllOfThemAndTheirLabels(t *testing.T) {
	known := ourMetrics(t)
	rows := map[string]string{}
	for line := range strings.Lines(readDoc(t, "../docs/reference/metrics.md")) {
		if name, rest, ok := strings.Cut(strings.TrimPrefix(line, "| `"), "` |"); ok && (strings.HasPrefix(name, "kalpana_") || strings.HasPrefix(name, "gen_ai_")) {
			rows[name] = rest
		}
	}
	for name, labels := range known {
		row, ok := rows[name]
		if !ok {
			t.Errorf("it lacks %s", name)
		}
		for _, label := range labels {
			if !strings.Contains(row, "`"+label+"`") {
				t.Errorf("%s: it lacks the label %s", name, label)
			}
		}
	}
	for name := range rows {
		if _, ok := known[name]; !ok {
			t.Errorf("there is no %s", name)
		}
	}
}

// TestAlerts_PromtoolAcceptsThem runs where scripts/deps.sh has brought promtool.
func TestAlerts_PromtoolAcceptsThem(t *testing.T) {
	cache := cmp.Or(os.Getenv("XDG_CACHE_HOME"), filepath.Join(os.Getenv("HOME"), ".cache"))
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		promtool, err = exec.LookPath(filepath.Join(cache, "kalpana", "tools", "promtool"))
	}
	if err != nil {
		t.Skip("there is no promtool; scripts/deps.sh brings it")
	}
	for _, args := range [][]string{{"check", "rules", "alerts.yml"}, {"test", "rules", "alerts_test.yml"}} {
		cmd := exec.Command(promtool, args...)
		cmd.Dir = operationsDir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}
