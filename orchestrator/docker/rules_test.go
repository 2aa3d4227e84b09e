package docker

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestJudge_SilenceCountsOnlyFromAProbeThatWorks(t *testing.T) {
	t.Parallel()
	const h, s, m, c = "10.0.0.1:4000 ", "10.0.0.7:9 ", metadataAddr + " ", controlAddr + " "
	const links = "10.0.0.1 neighbour\n10.0.0.7 neighbour\n"
	for name, test := range map[string]struct {
		out     string
		ok      bool
		reached bool
	}{
		"all silent":             {h + "silent\n" + s + "silent\n" + m + "silent\n" + c + "refused\n" + links, true, false},
		"no way to metadata":     {h + "silent\n" + s + "silent\n" + m + "unreachable\n" + c + "refused\n" + links, true, false},
		"host answers":           {h + "connected\n" + s + "silent\n" + m + "silent\n" + c + "refused\n" + links, false, true},
		"host refuses":           {h + "refused\n" + s + "silent\n" + m + "silent\n" + c + "refused\n" + links, false, true},
		"sibling refuses":        {h + "silent\n" + s + "refused\n" + m + "silent\n" + c + "refused\n" + links, false, true},
		"metadata answers":       {h + "silent\n" + s + "silent\n" + m + "connected\n" + c + "refused\n" + links, false, true},
		"control silent":         {h + "silent\n" + s + "silent\n" + m + "silent\n" + c + "silent\n" + links, false, false},
		"control missing":        {h + "silent\n" + s + "silent\n" + m + "silent\n" + links, false, false},
		"host not tried":         {s + "silent\n" + m + "silent\n" + c + "refused\n" + links, false, false},
		"sibling not tried":      {h + "silent\n" + m + "silent\n" + c + "refused\n" + links, false, false},
		"no link to the host":    {h + "silent\n" + s + "silent\n" + m + "silent\n" + c + "refused\n10.0.0.7 neighbour\n", false, false},
		"no link to the sibling": {h + "silent\n" + s + "silent\n" + m + "silent\n" + c + "refused\n10.0.0.1 neighbour\n", false, false},
		"nothing":                {"", false, false},
		"an error":               {"bash: timeout: command not found\n", false, false},
		"two answers":            {h + "silent\n" + h + "connected\n" + s + "silent\n" + m + "silent\n" + c + "refused\n" + links, false, true},
	} {
		err := judge(test.out, strings.TrimSpace(h), strings.TrimSpace(s),
			netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.7"))
		if (err == nil) != test.ok || errors.Is(err, errReached) != test.reached {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRules_FollowTheConfiguration(t *testing.T) {
	t.Parallel()
	rules := func(c Config) string {
		c.Instance, c.Resolvers = "test", addrs("10.1.2.3")
		r, err := New(c, nil)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(r.Rules(), "\n") + "\n"
	}
	usual := rules(Config{})
	for _, want := range []string{
		"-I KALPANA-FORWARD -d 10.1.2.3/32 -p udp -m udp --dport 53 -m comment --comment kalpana -j RETURN\n",
		"-I KALPANA-INPUT -d 10.1.2.3/32 -p tcp -m tcp --dport 53 -m comment --comment kalpana -j RETURN\n",
		"-A KALPANA-INPUT -m comment --comment kalpana -j DROP\n",
		"-A KALPANA-FORWARD -o kal+ -m comment --comment kalpana -j DROP\n",
		"-A KALPANA-FORWARD -d 169.254.0.0/16 -m comment --comment kalpana -j DROP\n",
		"-A KALPANA-FORWARD -d 10.0.0.0/8 -m comment --comment kalpana -j DROP\n",
		"-I INPUT -i kal+ -m comment --comment kalpana -j KALPANA-INPUT\n",
		"-I DOCKER-USER -i kal+ -m comment --comment kalpana -j KALPANA-FORWARD\n",
	} {
		if !strings.Contains(usual, want) {
			t.Errorf("missing: %s", want)
		}
	}
	open := rules(Config{AllowPrivate: true, BlockRanges: prefixes("203.0.113.9/24")})
	if strings.Contains(open, "10.0.0.0/8") || !strings.Contains(open, "169.254.0.0/16") || !strings.Contains(open, "-d 203.0.113.0/24 ") {
		t.Errorf("with private ranges allowed and one more blocked:\n%s", open)
	}
}

// fakeIptables is a machine without DOCKER-USER: an engine that leaves iptables alone.
type fakeIptables struct{ ran []string }

func (f *fakeIptables) run(_ context.Context, commands [][]string) ([]result, error) {
	var results []result
	for _, c := range commands {
		text := strings.Join(c, " ")
		f.ran = append(f.ran, text)
		switch {
		case text == "-S INPUT":
			results = append(results, result{ok: true, out: "-P INPUT ACCEPT"})
		case text == "-S FORWARD":
			results = append(results, result{ok: true, out: "-P FORWARD DROP\n-A FORWARD -j DOCKER-FORWARD"})
		case c[0] == "-S" || c[0] == "-C":
			results = append(results, result{out: "iptables: No chain/target/match by that name."})
		default:
			results = append(results, result{ok: true})
		}
	}
	return results, nil
}

func TestRules_ComeIntoForwardWhereTheEngineHasNoChainForThem(t *testing.T) {
	t.Parallel()
	r, err := New(Config{Instance: "test"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeIptables{}
	if _, err := ensureRules(t.Context(), f, r.ruleset()); err != nil {
		t.Fatal(err)
	}
	last := f.ran[len(f.ran)-2:]
	want := []string{
		"-I INPUT -i kal+ -m comment --comment kalpana -j KALPANA-INPUT",
		"-I FORWARD -i kal+ -m comment --comment kalpana -j KALPANA-FORWARD",
	}
	if !slices.Equal(last, want) {
		t.Errorf("the last commands are %q", last)
	}
}

func TestHook_MustBeFirstButForOthersOfOurs(t *testing.T) {
	t.Parallel()
	h := hook{from: "INPUT", to: "KALPANA-INPUT", bridge: "kal"}
	const mine = "-A INPUT -i kal+ -m comment --comment kalpana -j KALPANA-INPUT"
	const another = "-A INPUT -i kx+ -m comment --comment kalpana -j KX-INPUT"
	const foreign = "-A INPUT -j ACCEPT"
	for _, test := range []struct {
		rules []string
		want  bool
	}{
		{nil, false},
		{[]string{mine}, true},
		{[]string{mine, foreign}, true},
		{[]string{another, mine}, true},
		{[]string{foreign, mine}, false},
		{[]string{another, foreign, mine}, false},
		{[]string{another}, false},
	} {
		if got := first(h, test.rules); got != test.want {
			t.Errorf("%v: %v", test.rules, got)
		}
	}
	quoted := listed(result{ok: true, out: "-P INPUT ACCEPT\n" + strings.Replace(mine, " kalpana ", ` "kalpana" `, 1) + "\n"})
	if !slices.Equal(quoted, []string{mine}) {
		t.Errorf("quoted comment: %q", quoted)
	}
	for rules, want := range map[string]bool{
		"-A FORWARD -j DOCKER-USER":                           true,
		"-A FORWARD -j DOCKER-FORWARD":                        false,
		"-A FORWARD -i eth0 -j DOCKER-USER":                   false,
		"-A FORWARD -j ts-forward\n-A FORWARD -j DOCKER-USER": false,
	} {
		if got := entersFirst("DOCKER-USER", strings.Split(rules, "\n")); got != want {
			t.Errorf("%s: %v", rules, got)
		}
	}
}
