package identity

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/kalpana-dev/kalpana/workspace"
)

// The lifetimes of an invitation.
const (
	InvitationLifetime    = 7 * 24 * time.Hour
	MaxInvitationLifetime = 30 * 24 * time.Hour
)

// maxNote bounds what an admin notes on an invitation, in characters.
const maxNote = 200

// ErrNote says that a note is too long or holds control characters.
var ErrNote = errors.New("a note has at most 200 characters, none of them a control character")

// ErrLifetime says that an invitation cannot last that long.
var ErrLifetime = errors.New("an invitation lasts from one hour to 30 days")

// Invitation lets one person in, once.
type Invitation struct {
	ID        string // names it in lists; no secret
	Role      Role
	Note      string
	By        string // person
	At        time.Time
	ExpiresAt time.Time
}

type invitationPayload struct {
	ID   string    `json:"id"`
	Role Role      `json:"role"`
	Note string    `json:"note"`
	By   string    `json:"by"`
	At   time.Time `json:"at"`
}

const invitationKind = "invitation"

// Invite makes an invitation that lasts for lifetime, by default InvitationLifetime, and as long as by is an admin. It returns
// the address that shows it. The secret is in the fragment; the store keeps only its hash, so the
// address is not shown again.
func (s *Service) Invite(ctx context.Context, by Caller, role Role, note string, lifetime time.Duration) (Invitation, string, error) {
	if role != RoleAdmin && role != RoleMember {
		return Invitation{}, "", ErrUnknownRole
	}
	if lifetime == 0 {
		lifetime = InvitationLifetime
	}
	if lifetime < time.Hour || lifetime > MaxInvitationLifetime {
		return Invitation{}, "", ErrLifetime
	}
	if !validNote(note) {
		return Invitation{}, "", ErrNote
	}
	now := s.cfg.Now().UTC().Truncate(time.Microsecond) // as the store keeps it
	secret := NewSecret()
	i := Invitation{ID: newID(), Role: role, Note: note, By: by.Person.ID, At: now, ExpiresAt: now.Add(lifetime)}
	payload, err := json.Marshal(invitationPayload{ID: i.ID, Role: i.Role, Note: i.Note, By: i.By, At: i.At})
	if err != nil {
		return Invitation{}, "", err
	}
	err = s.cfg.Store.CreateTicket(ctx, Ticket{Hash: Hash(secret), Kind: invitationKind, Payload: payload, ExpiresAt: i.ExpiresAt})
	if err != nil {
		return Invitation{}, "", err
	}
	s.auditInvitation(ctx, by.Event(ActionInvitation, ""), i, "made")
	return i, s.cfg.Hosts.Console() + "/invite#" + secret, nil
}

func (s *Service) auditInvitation(ctx context.Context, e AuditEvent, i Invitation, what string) {
	e.Detail = what + ": " + i.ID + " for a new " + string(i.Role)
	if i.Note != "" {
		e.Detail += ", " + i.Note
	}
	s.Audit(ctx, e)
}

func validNote(note string) bool {
	return len([]rune(note)) <= maxNote && utf8.ValidString(note) &&
		!strings.ContainsFunc(note, func(r rune) bool { return !unicode.IsPrint(r) })
}

// Invitations returns those that can still be used, those that last longest first.
func (s *Service) Invitations(ctx context.Context) ([]Invitation, error) {
	tickets, err := s.cfg.Store.Tickets(ctx, invitationKind)
	if err != nil {
		return nil, err
	}
	list := make([]Invitation, 0, len(tickets))
	for _, t := range tickets {
		i, ok := readInvitation(t)
		if !ok || !s.cfg.Now().Before(t.ExpiresAt) {
			continue
		}
		if ok, err = s.isAdmin(ctx, i.By); err != nil {
			return nil, err
		}
		if ok {
			list = append(list, i)
		}
	}
	return list, nil
}

// isAdmin reports whether the person of that id is an admin, and not disabled. What lets somebody in counts only as
// long as whoever gave it away could give it: else an admin who was shut out had a way back.
func (s *Service) isAdmin(ctx context.Context, id string) (bool, error) {
	p, err := s.cfg.Store.Person(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return p.Role == RoleAdmin && !p.Disabled, err
}

// Withdraw ends an invitation that nobody has used: ErrInvitation.
func (s *Service) Withdraw(ctx context.Context, by Caller, id string) error {
	tickets, err := s.cfg.Store.Tickets(ctx, invitationKind)
	if err != nil {
		return err
	}
	for _, t := range tickets {
		if i, ok := readInvitation(t); ok && i.ID == id {
			if err := s.cfg.Store.DeleteTicket(ctx, invitationKind, t.Hash); err != nil {
				return err
			}
			s.auditInvitation(ctx, by.Event(ActionInvitation, ""), i, "withdrawn")
			return nil
		}
	}
	return ErrInvitation
}

// Redeem uses up an invitation for a new person of that name, and signs them in. It is for
// installations without a provider: the person has no account that could bring them back, only
// sign-in links.
func (s *Service) Redeem(ctx context.Context, secret, name string) (*http.Cookie, Person, error) {
	name, err := workspace.CleanName(name)
	if err != nil {
		return nil, Person{}, ErrPersonName
	}
	if len(secret) != secretLength {
		return nil, Person{}, ErrInvitation
	}
	ticket, invitation, err := s.takeInvitation(ctx, Hash(secret))
	if errors.Is(err, ErrInvitation) {
		s.Audit(ctx, AuditEvent{Action: ActionSignIn, Outcome: OutcomeRefused, Via: "invitation", Detail: err.Error()})
	}
	if err != nil {
		return nil, Person{}, err
	}
	person, err := s.AddPerson(ctx, name, invitation.Role)
	if err != nil {
		s.giveBack(ctx, *ticket)
		return nil, Person{}, err
	}
	s.auditInvitation(ctx, AuditEvent{Action: ActionInvitation, Person: person.ID}, invitation, "used")
	cookie, err := s.startSession(ctx, person, "link", time.Time{})
	return cookie, person, err
}

// takeInvitation uses up the invitation whose secret has that hash.
func (s *Service) takeInvitation(ctx context.Context, hash string) (*Ticket, Invitation, error) {
	t, err := s.cfg.Store.TakeTicket(ctx, invitationKind, hash, s.cfg.Now())
	if errors.Is(err, ErrNotFound) {
		return nil, Invitation{}, ErrInvitation
	}
	if err != nil {
		return nil, Invitation{}, err
	}
	i, ok := readInvitation(t)
	if ok {
		if ok, err = s.isAdmin(ctx, i.By); err != nil {
			s.giveBack(ctx, t)
			return nil, Invitation{}, err
		}
	}
	if !ok {
		return nil, Invitation{}, ErrInvitation
	}
	return &t, i, nil
}

// giveBack makes an invitation good again by which nobody came in after all.
func (s *Service) giveBack(ctx context.Context, t Ticket) {
	if err := s.cfg.Store.CreateTicket(context.WithoutCancel(ctx), t); err != nil {
		s.cfg.Log.Warn("an invitation was used up by a sign-in that failed", "error", err)
	}
}

func readInvitation(t Ticket) (Invitation, bool) {
	var p invitationPayload
	if json.Unmarshal(t.Payload, &p) != nil || (p.Role != RoleAdmin && p.Role != RoleMember) {
		return Invitation{}, false
	}
	return Invitation{ID: p.ID, Role: p.Role, Note: p.Note, By: p.By, At: p.At, ExpiresAt: t.ExpiresAt}, true
}
