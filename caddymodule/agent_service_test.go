package caddymodule

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/agent"
	"github.com/kalpana-dev/kalpana/agent/model"
	"github.com/kalpana-dev/kalpana/agent/model/modeltest"
	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/workspace"
)

func TestAgents_ARunGoesOnWhenAnotherConfigurationTakesOver(t *testing.T) {
	provider := modeltest.New(t)
	s := run(t, "", "")
	with := func(options string) string {
		return strings.Replace(s.text, "kalpana {", "kalpana {\n\t\tagent {\n\t\t\tbase_url "+provider.URL+"\n\t\t\tkey "+modeltest.Key+
			"\n\t\t\tmodels openai/gpt-played\n\t\t}\n\t\t"+options, 1)
	}
	s.load(with(""))
	first := s.app.instance
	person, err := first.identity.AddPerson(t.Context(), "Asha", identity.RoleMember)
	if err != nil {
		t.Fatal(err)
	}
	asha := person.ID
	w, err := first.orchestrator.Create(t.Context(), orchestrator.NewWorkspace{Owner: asha, Name: "one", Template: "blank"})
	if err == nil {
		err = first.orchestrator.Wake(w.ID).Wait(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	awake := func(i *instance) orchestrator.Awake {
		record, err := i.store.Workspace(t.Context(), w.ID)
		if err != nil {
			t.Fatal(err)
		}
		return i.orchestrator.Awake(record)
	}
	send := func(i *instance, chat, text string) *agent.Run {
		t.Helper()
		run, err := i.agents.service.Send(t.Context(), agent.Send{Chat: chat, Workspace: w.ID, Person: agent.Person{ID: asha}, Text: text})
		if err != nil {
			t.Fatal(err)
		}
		return run
	}

	provider.Play(modeltest.Turn{modeltest.Words("Begun."), modeltest.Stall()})
	run := send(first, "c1", "Begin")
	if a := awake(first); a.Reason != orchestrator.ActivityAgent || !a.SleepsAt.IsZero() {
		t.Errorf("while the agent is at work: %+v; it says %+v", a, run.Log().Message())
	}
	s.load(s.text) // what is not said of the agent has it on
	s.load(with("workspace_limit 7"))
	second := s.app.instance
	if second == first || second.agents.service.Run("c1") != run {
		t.Fatal("another configuration does not find the run")
	}
	if a := awake(second); a.Reason != orchestrator.ActivityAgent || !a.SleepsAt.IsZero() {
		t.Errorf("with another configuration: %+v", a)
	}
	if api := s.app.instance.agentAPI(); api.Service.Run("c1") != run || !api.Configured {
		t.Error("the API does not find the run")
	}

	// A configuration that does not come up leaves the one before in force.
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	config, err := adapt(t, "Caddyfile", caddyfile.Format([]byte(with("workspace_limit 8")+"\nhttp://"+taken.Addr().String()+" {\n\trespond no\n}\n")))
	if err != nil {
		t.Fatal(err)
	}
	if err := caddy.Load(config, true); err == nil {
		t.Fatal("a port that is taken is served")
	}
	second.agents.mu.Lock()
	if open := second.agents.open; len(open) != 1 || open[0] != second {
		t.Errorf("%d instances are open", len(open))
	}
	second.agents.mu.Unlock()
	if a := awake(second); a.Reason != orchestrator.ActivityAgent {
		t.Errorf("after a configuration that did not come up: %+v", a)
	}
	if err := second.agents.service.Stop(t.Context(), asha, "c1"); err != nil {
		t.Fatal(err)
	}
	if n := first.runs.Load() + second.runs.Load(); n != 0 {
		t.Errorf("%d runs hold an instance", n)
	}
	provider.Play(modeltest.Turn{modeltest.Words("Done.")})
	<-send(second, "c1", "And now").Done()

	// Without an agent, runs end, so that they can be continued.
	provider.Play(modeltest.Turn{modeltest.Words("Begun."), modeltest.Stall()})
	run = send(second, "c2", "Begin")
	s.load(strings.Replace(s.text, "kalpana {", "kalpana {\n\t\tagent off", 1))
	<-run.Done()
	chat, err := s.app.instance.store.Chat(t.Context(), "c2")
	if err != nil || chat.State != agent.StateInterrupted {
		t.Errorf("%+v, %v", chat, err)
	}
	if api := s.app.instance.agentAPI(); api.Service != nil {
		t.Error("there is an agent")
	}
	s.http.CloseIdleConnections() // of the server before
	s.signIn(identity.RoleMember)
	if status, text := s.do(http.MethodGet, s.origin("kalpana.localhost")+"/api/agent/models", nil); status != http.StatusNotFound || !strings.Contains(text, "turned it off") {
		t.Errorf("%d %s", status, text)
	}
}

func TestAgents_KnowThePersonAndTheirKeyAsOfNow(t *testing.T) {
	provider := modeltest.New(t)
	s := run(t, "", "")
	s.load(strings.Replace(s.text, "kalpana {", "kalpana {\nagent {\nbase_url "+provider.URL+"\n}\n", 1))
	i := s.app.instance
	person, err := i.identity.AddPerson(t.Context(), "Asha", identity.RoleMember)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"sk-the-first-of-two", "sk-the-second-of-two"} {
		if _, err := i.identity.SetModelKey(t.Context(), identity.Caller{Person: person}, key); err != nil {
			t.Fatal(err)
		}
		got, err := i.agents.config(i).Person(t.Context(), person.ID)
		if want := (agent.Person{ID: person.ID, Name: "Asha", Key: key}); err != nil || got != want {
			t.Errorf("%+v, %v", got, err)
		}
	}
}

func TestGatewayName_StaysTheSame(t *testing.T) {
	dir := t.TempDir()
	name, err := gatewayName(dir)
	again, err2 := gatewayName(dir)
	other, err3 := gatewayName(t.TempDir())
	if name == "" || name != again || name == other || err != nil || err2 != nil || err3 != nil {
		t.Errorf("%q, then %q, another one is %q: %v %v %v", name, again, other, err, err2, err3)
	}
}

func TestModels_AreThoseThatTheOperatorNamesInTheirOrder(t *testing.T) {
	provider := modeltest.New(t)
	offer := func(c agentConfig) *offeredModels {
		client, err := model.New(model.Config{BaseURL: provider.URL, Key: modeltest.Key})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.Close)
		return &offeredModels{client, c}
	}
	names := func(m *offeredModels) (ids []string) {
		list, err := m.Models(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, info := range list {
			ids = append(ids, info.ID+"/"+info.Name)
		}
		return ids
	}
	named := offer(agentConfig{Models: []string{"openai/gpt-played", "some/other", "anthropic/claude-played-4.5"}, Fallbacks: true})
	if diff := cmp.Diff([]string{
		"openai/gpt-played/OpenAI: GPT Played", "some/other/some/other", "anthropic/claude-played-4.5/Anthropic: Claude Played 4.5",
	}, names(named)); diff != "" {
		t.Error(diff)
	}
	provider.Models(modeltest.Info{ID: "with/tools", Name: "B", Parameters: []string{"tools"}}, modeltest.Info{ID: "without/tools", Name: "A", Parameters: []string{"seed"}})
	if diff := cmp.Diff([]string{"with/tools/B"}, names(offer(agentConfig{}))); diff != "" {
		t.Error("where none is named:", diff)
	}
	provider.AnswerModels(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	if ids := names(offer(agentConfig{Models: []string{"a/b"}})); len(ids) != 1 || ids[0] != "a/b/a/b" {
		t.Errorf("while the provider does not answer: %v", ids)
	}

	provider.Play(modeltest.Turn{modeltest.Words("Hi")}, modeltest.Turn{modeltest.Words("Hi")})
	request := &model.Request{Models: []string{"anthropic/claude-played-4.5"}, Messages: []model.Message{{Role: model.User, Text: "Hi"}}}
	for _, test := range []struct {
		m    *offeredModels
		want int
	}{{named, 2}, {offer(agentConfig{Models: named.agent.Models}), 0}} {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		if _, err := test.m.Stream(ctx, request, func(model.Delta) {}); err != nil {
			t.Fatal(err)
		}
		cancel()
		r := provider.Requests()
		if got := r[len(r)-1]; len(got.Models) != test.want || got.Model != "anthropic/claude-played-4.5" {
			t.Errorf("asked are %s, then %v", got.Model, got.Models)
		}
	}
	if len(request.Models) != 1 {
		t.Errorf("the request became %v", request.Models)
	}
}

func TestAgents_AWorkspaceThatSleepsIsWokenToBeReached(t *testing.T) {
	s := run(t, "", "")
	i := s.app.instance
	w, err := i.orchestrator.Create(t.Context(), orchestrator.NewWorkspace{Owner: "asha", Name: "one", Template: "blank"})
	if err != nil {
		t.Fatal(err)
	}
	at, err := i.agents.endpoint(t.Context(), w.ID)
	if err != nil || at.Addr == "" || at.Token != i.key.BridgeToken(w.ID) || at.Dial == nil {
		t.Fatalf("%+v, %v", at, err)
	}
	if state := i.orchestrator.State(w.ID); state != workspace.StateStarting && state != workspace.StateRunning {
		t.Errorf("it is %s", state)
	}
	if _, err := i.agents.endpoint(t.Context(), workspace.NewID()); err == nil {
		t.Error("a workspace that does not exist is reached")
	}
}
