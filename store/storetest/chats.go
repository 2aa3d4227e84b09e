package storetest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/agent"
	"github.com/kalpana-dev/kalpana/workspace"
)

var chats = []promise{
	{"EveryFieldComesBack", aChatComesBack},
	{"AnIDIsUsedOnce", aChatsIDIsUsedOnce},
	{"AWorkspaceThatDoesNotExistGetsNone", aMissingWorkspaceGetsNoChat},
	{"ListsBeginWithWhatWasChangedLast", chatsBeginWithWhatWasChangedLast},
	{"ThoseThatRunAreFound", chatsThatRunAreFound},
	{"OneOfTwoWritersWins", oneOfTwoWritersOfAChatWins},
	{"AnUpdateOfNoneSaysSo", anUpdateOfNoChatSaysSo},
	{"MessagesComeByTheirPlace", messagesComeByTheirPlace},
	{"AMessageIsReplaced", aMessageIsReplaced},
	{"MessagesAreCutFromAPlaceOn", messagesAreCutFromAPlaceOn},
	{"AMessageOfNoChatIsRefused", aMessageOfNoChatIsRefused},
	{"TheLargestRecordsAreKeptAndLargerOnesRefused", theLargestRecordsAreKept},
	{"ADeletedChatTakesItsMessagesWithIt", aDeletedChatTakesItsMessages},
	{"ADeletedWorkspaceTakesItsChatsWithIt", aDeletedWorkspaceTakesItsChats},
	{"AMessageThatRacesWithADeleteStaysNowhere", aMessageThatRacesWithADelete},
}

// chat stores a new chat in the workspace.
func chat(t *testing.T, s Store, id string, w workspace.ID, person string, seconds int) *agent.Chat {
	t.Helper()
	c := &agent.Chat{ID: id, Workspace: w, Person: person, State: agent.StateIdle, CreatedAt: moment(seconds), UpdatedAt: moment(seconds)}
	must(t, s.CreateChat(t.Context(), c))
	return c
}

// message stores a message.
func message(t *testing.T, s Store, chat, id string, seq int64) *agent.Message {
	t.Helper()
	m := &agent.Message{Chat: chat, ID: id, Seq: seq, Role: "user", UI: json.RawMessage(`{"id":"` + id + `"}`), CreatedAt: moment(int(seq))}
	must(t, s.PutMessage(t.Context(), m))
	return m
}

func wantChat(t *testing.T, s Store, want *agent.Chat) {
	t.Helper()
	got, err := s.Chat(t.Context(), want.ID)
	must(t, err)
	if diff := cmp.Diff(want, got, asBytes); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// asBytes spares the comparison of millions of bytes one by one.
var asBytes = cmp.Comparer(func(a, b json.RawMessage) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) })

func wantMessages(t *testing.T, s Store, chat string, want ...*agent.Message) {
	t.Helper()
	got, err := s.Messages(t.Context(), chat)
	must(t, err)
	if diff := cmp.Diff(want, got, asBytes); diff != "" {
		t.Errorf("Messages(%s) (-want +got):\n%s", chat, diff)
	}
}

func aChatComesBack(t *testing.T, b Backend) {
	s := b.Open(t)
	want, bare := new(agent.Chat), &agent.Chat{ID: "bare"}
	fill(t, want, 0)
	want.Workspace = created(t, s, "ann").ID
	bare.Workspace = want.Workspace
	for _, c := range []*agent.Chat{want, bare} {
		must(t, s.CreateChat(t.Context(), c))
		if c.Revision != 1 {
			t.Errorf("revision %d", c.Revision)
		}
		wantChat(t, b.Open(t), c)
	}
	want.Title, want.State, want.Holder, want.Data = "another", agent.StateWaiting, "", json.RawMessage(`[]`)
	before := want.UpdatedAt
	must(t, s.UpdateChat(t.Context(), want))
	if want.Revision != 2 || !want.UpdatedAt.After(before) {
		t.Errorf("revision %d at %v", want.Revision, want.UpdatedAt)
	}
	wantChat(t, b.Open(t), want)
	_, err := s.Chat(t.Context(), "another")
	wantErr(t, err, workspace.ErrNotFound)
}

func aChatsIDIsUsedOnce(t *testing.T, b Backend) {
	w := created(t, b.Open(t), "ann").ID
	won := winners(t, b, 8, func(ctx context.Context, s Store, i int) (bool, error) {
		return unless(s.CreateChat(ctx, &agent.Chat{ID: "one", Workspace: w, Person: fmt.Sprint(i)}), workspace.ErrConflict)
	})
	if won != 1 {
		t.Errorf("%d made it", won)
	}
}

func aMissingWorkspaceGetsNoChat(t *testing.T, b Backend) {
	s := b.Open(t)
	wantErr(t, s.CreateChat(t.Context(), &agent.Chat{ID: "one", Workspace: workspace.NewID()}), workspace.ErrNotFound)
	_, err := s.Chat(t.Context(), "one")
	wantErr(t, err, workspace.ErrNotFound)
}

func chatsBeginWithWhatWasChangedLast(t *testing.T, b Backend) {
	s := b.Open(t)
	v, w := created(t, s, "ann").ID, created(t, s, "bob").ID
	chat(t, s, "b", v, "ann", 1)
	chat(t, s, "a", v, "ann", 1)
	chat(t, s, "c", v, "bob", 3)
	d := chat(t, s, "d", w, "ann", 0)
	must(t, s.UpdateChat(t.Context(), d)) // now, which is later than the tests' day
	for _, c := range []struct {
		workspace workspace.ID
		person    string
		want      []string
	}{
		{"", "", []string{"d", "c", "a", "b"}},
		{v, "", []string{"c", "a", "b"}},
		{"", "ann", []string{"d", "a", "b"}},
		{v, "ann", []string{"a", "b"}},
		{w, "bob", nil},
	} {
		list, err := s.Chats(t.Context(), c.workspace, c.person)
		must(t, err)
		var got []string
		for _, one := range list {
			got = append(got, one.ID)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("Chats(%q, %q): %v, want %v", c.workspace, c.person, got, c.want)
		}
	}
}

func chatsThatRunAreFound(t *testing.T, b Backend) {
	s := b.Open(t)
	w := created(t, s, "ann").ID
	var want []*agent.Chat
	for i, state := range []agent.State{agent.StateIdle, agent.StateRunning, agent.StateWaiting, agent.StateInterrupted, agent.StateRunning} {
		c := chat(t, s, fmt.Sprint("c", i), w, "ann", 0)
		c.State, c.Holder = state, fmt.Sprint("g", i)
		must(t, s.UpdateChat(t.Context(), c))
		if state == agent.StateRunning {
			want = slices.Insert(want, 0, c)
		}
	}
	got, err := b.Open(t).RunningChats(t.Context())
	must(t, err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func oneOfTwoWritersOfAChatWins(t *testing.T, b Backend) {
	s := b.Open(t)
	read := *chat(t, s, "one", created(t, s, "ann").ID, "ann", 0)
	won := winners(t, b, 8, func(ctx context.Context, s Store, i int) (bool, error) {
		mine := read
		mine.Title = fmt.Sprint(i)
		return unless(s.UpdateChat(ctx, &mine), workspace.ErrConflict)
	})
	if won != 1 {
		t.Errorf("%d writers of one revision won", won)
	}
	stale := read
	wantErr(t, s.UpdateChat(t.Context(), &stale), workspace.ErrConflict)
	if diff := cmp.Diff(read, stale); diff != "" {
		t.Errorf("a refused update changed the caller's record:\n%s", diff)
	}
}

func anUpdateOfNoChatSaysSo(t *testing.T, b Backend) {
	s := b.Open(t)
	c := chat(t, s, "one", created(t, s, "ann").ID, "ann", 0)
	must(t, s.DeleteChat(t.Context(), "one"))
	must(t, s.DeleteChat(t.Context(), "one"))
	wantErr(t, s.UpdateChat(t.Context(), c), workspace.ErrNotFound)
}

func messagesComeByTheirPlace(t *testing.T, b Backend) {
	s := b.Open(t)
	w := created(t, s, "ann").ID
	chat(t, s, "one", w, "ann", 0)
	chat(t, s, "two", w, "ann", 0)
	full := new(agent.Message)
	fill(t, full, 1)
	full.Chat, full.Seq = "one", 3
	must(t, s.PutMessage(t.Context(), full))
	second, first := message(t, s, "one", "a", 2), message(t, s, "one", "b", 1)
	other := message(t, s, "two", "a", 1) // an id is one in its chat
	wantMessages(t, b.Open(t), "one", first, second, full)
	wantMessages(t, s, "two", other)
	wantMessages(t, s, "three")
}

func aMessageIsReplaced(t *testing.T, b Backend) {
	s := b.Open(t)
	chat(t, s, "one", created(t, s, "ann").ID, "ann", 0)
	m, other := message(t, s, "one", "a", 1), message(t, s, "one", "b", 2)
	m.Seq, m.Role, m.UI, m.Model, m.CreatedAt = 3, "assistant", json.RawMessage(`{}`), json.RawMessage(`[1]`), moment(9)
	must(t, b.Open(t).PutMessage(t.Context(), m))
	wantMessages(t, s, "one", other, m)
}

func messagesAreCutFromAPlaceOn(t *testing.T, b Backend) {
	s := b.Open(t)
	w := created(t, s, "ann").ID
	for _, id := range []string{"one", "two"} {
		chat(t, s, id, w, "ann", 0)
		for seq := range int64(4) {
			message(t, s, id, fmt.Sprint(seq+1), seq+1)
		}
	}
	must(t, s.CutMessages(t.Context(), "one", 3))
	must(t, s.CutMessages(t.Context(), "one", 7))
	must(t, s.CutMessages(t.Context(), "three", 1))
	for id, want := range map[string]int{"one": 2, "two": 4} {
		if left, err := s.Messages(t.Context(), id); err != nil || len(left) != want {
			t.Errorf("%s has %d messages, %v; want %d", id, len(left), err, want)
		}
	}
}

func aMessageOfNoChatIsRefused(t *testing.T, b Backend) {
	s := b.Open(t)
	wantErr(t, s.PutMessage(t.Context(), &agent.Message{Chat: "one", ID: "a"}), workspace.ErrNotFound)
	wantMessages(t, s, "one")
}

func theLargestRecordsAreKept(t *testing.T, b Backend) {
	s := b.Open(t)
	text := func(n int) json.RawMessage {
		return slices.Concat([]byte(`"`), bytes.Repeat([]byte("x"), n-2), []byte(`"`))
	}
	c := &agent.Chat{ID: "one", Workspace: created(t, s, "ann").ID, Data: text(agent.MaxChatData)}
	must(t, s.CreateChat(t.Context(), c))
	size := agent.MaxMessage
	if slow, ok := b.(interface{ Slow() bool }); ok && slow.Slow() {
		size /= 8
	}
	m := &agent.Message{Chat: "one", ID: "a", UI: text(size / 2), Model: text(size / 2), CreatedAt: moment(0)}
	must(t, s.PutMessage(t.Context(), m))
	wantMessages(t, s, "one", m)
	wantChat(t, s, c)

	larger := *c
	larger.Data = text(agent.MaxChatData + 1)
	wantErr(t, s.UpdateChat(t.Context(), &larger), agent.ErrTooLarge)
	larger.ID = "two"
	wantErr(t, s.CreateChat(t.Context(), &larger), agent.ErrTooLarge)
	wantErr(t, s.PutMessage(t.Context(), &agent.Message{Chat: "one", ID: "b", UI: text(agent.MaxMessage), Model: text(2)}), agent.ErrTooLarge)
}

func aDeletedChatTakesItsMessages(t *testing.T, b Backend) {
	s := b.Open(t)
	w := created(t, s, "ann").ID
	chat(t, s, "one", w, "ann", 0)
	kept := chat(t, s, "two", w, "ann", 0)
	message(t, s, "one", "a", 1)
	m := message(t, s, "two", "a", 1)
	must(t, s.DeleteChat(t.Context(), "one"))
	wantMessages(t, s, "one")
	_, err := s.Chat(t.Context(), "one")
	wantErr(t, err, workspace.ErrNotFound)
	wantChat(t, s, kept)
	wantMessages(t, s, "two", m)
}

func aDeletedWorkspaceTakesItsChats(t *testing.T, b Backend) {
	s := b.Open(t)
	gone, stays := created(t, s, "ann"), created(t, s, "ann")
	chat(t, s, "one", gone.ID, "ann", 0)
	chat(t, s, "two", gone.ID, "bob", 0)
	message(t, s, "one", "a", 1)
	kept := chat(t, s, "three", stays.ID, "ann", 0)
	m := message(t, s, "three", "a", 1)
	must(t, s.DeleteWorkspace(t.Context(), gone.ID, gone.Revision))
	must(t, s.Purge(t.Context(), moment(0), 0))
	for _, id := range []string{"one", "two"} {
		_, err := s.Chat(t.Context(), id)
		wantErr(t, err, workspace.ErrNotFound)
		wantMessages(t, s, id)
	}
	wantChat(t, s, kept)
	wantMessages(t, s, "three", m)
}

func aMessageThatRacesWithADelete(t *testing.T, b Backend) {
	s := b.Open(t)
	w := created(t, s, "ann").ID
	for round := range 5 {
		id := fmt.Sprint("c", round)
		chat(t, s, id, w, "ann", 0)
		clients := []Store{b.Open(t), b.Open(t)}
		together(4, func(i int) {
			if i == 0 {
				if err := clients[0].DeleteChat(t.Context(), id); err != nil {
					t.Error(err)
				}
				return
			}
			m := &agent.Message{Chat: id, ID: fmt.Sprint(i), Seq: int64(i)}
			if _, err := unless(clients[i%2].PutMessage(t.Context(), m), workspace.ErrNotFound); err != nil {
				t.Error(err)
			}
		})
		wantMessages(t, s, id)
	}
}
