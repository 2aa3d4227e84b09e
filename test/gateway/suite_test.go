package gateway

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/test/harness"
)

var shared parts

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	flag.Parse()
	// Most tests wait most of the time; the machine's processors are no measure of how many may.
	_ = flag.Set("test.parallel", "32")
	if os.Getenv("KALPANA_TEST_CONSOLE") != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "kalpana-gateway-")
	if err == nil {
		defer os.RemoveAll(dir)
		shared, err = build(dir)
		defer shared.remove()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// form is a kind of deployment.
type form struct {
	name            string
	scheme          string
	console, parent string // domains
	options         string // further lines of the global option kalpana
}

// forms are the deployments that the suite starts: by what the console's and the workspaces' domains have
// in common, and with and without TLS.
var forms = []form{
	{"OneDomain", "http", "kalpana.localhost", "ws.kalpana.localhost", "rate_limits off\n\t\tshare_limit public"},
	{"TwoDomains", "https", "kalpana.localhost", "kalpana-workspaces.localhost", "rate_limits off\n\t\tshare_limit members"},
	{limited, "http", "kalpana.localhost", "ws.kalpana.localhost", ""},
}

// limited is the deployment with rate limits, which no other test could bear.
const limited = "RateLimits"

func TestGateway(t *testing.T) {
	s, err := given()
	if err != nil {
		t.Fatal(err)
	}
	if s != nil {
		Run(t, s)
		return
	}
	for _, form := range forms {
		t.Run(form.name, func(t *testing.T) {
			t.Parallel()
			s, err := shared.start(context.Background(), form)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := s.own.close(); err != nil {
					t.Error(err)
				}
				artifacts := filepath.Join(harness.Root(), "test", "artifacts")
				_ = os.MkdirAll(artifacts, 0o755)
				_ = os.WriteFile(filepath.Join(artifacts, "TestGateway-"+form.name+".log"), []byte(s.own.Log.String()), 0o644)
			})
			Run(t, s)
		})
	}
}

// Whether a promise has to do with the form of the deployment.
const (
	everyForm = iota
	anyForm   // it has not: it is tested on the first
	rateForm  // it is about rate limits
)

// promises is what the suite asks, in the order of a request on its way in.
var promises = []struct {
	name string
	test func(*testing.T, *site)
	on   int
}{
	{"HostForms_OnlyTheExactNameIsServed", hostForms, everyForm},
	{"WithoutAGrant_ANavigationIsHandedOverAndNothingElseIsAnswered", withoutSession, everyForm},
	{"HandoffCode_WorksOnceOnItsHostInItsBrowser", codes, everyForm},
	{"HandoffCode_IsRefusedAfterHalfAMinute", lateCode, anyForm},
	{"HandoffOnTheConsole_AnswersNavigationsOnly", consoleEnd, everyForm},
	{"Grant_IsGoodOnItsHostAlone", grantsElsewhere, everyForm},
	{"Grant_EndsWithTheSession", grantAfterSignOut, everyForm},
	{"Grant_EndsWithTheWorkspace", grantAfterDelete, everyForm},
	{"WhatExists_LooksLikeWhatDoesNotWithoutAccess", unseen, everyForm},
	{"WebSocket_OpensFromItsOwnPageAlone", sockets, everyForm},
	{"ConsoleSockets_OpenFromTheConsoleAlone", consoleSockets, everyForm},
	{"UnsafeMethods_ComeFromTheirOwnPageAlone", unsafeMethods, everyForm},
	{"OtherPages_GetNothingForThemselves", otherPages, everyForm},
	{"Redirects_StayAtHomeInFiveHundredForms", openRedirects, everyForm},
	{"Smuggling_NoHiddenRequestReachesAnApp", smuggling, anyForm},
	{"OddTargets_ReachNothingElse", oddTargets, anyForm},
	{"Frames_AreHandedOverAsTabsAre", frames, everyForm},
	{"Frames_AreWhereTheyMayBe", framing, everyForm},
	{"Preview_OfAReservedPortIsNone", reservedPorts, everyForm},
	{"Session_ThatIsRevokedEndsWithAllItOpened", sessionsEnd, anyForm},
	{"Token_OpensItsPersonsWorkspacesForProgramsAlone", tokens, everyForm},
	{"Token_DoesWhatItsScopesSay", tokenScopes, anyForm},
	{"OtherAgents_ComeWithATokenOfTheirScopeAlone", otherAgents, everyForm},
	{"AuditLog_TakesAnAttackersTextEscapedAndCut", auditLog, anyForm},
	{"SharedPorts_LetInWhoTheLevelSaysOnEveryPath", shares, everyForm},
	{"PublicPorts_WakeOnlyWhereTheirOwnerSaysSo", publicWakes, anyForm},
	{"CORS_IsForThePreviewsOfOneWorkspaceAlone", cors, everyForm},
	{"SharedPorts_EndWhatIsOpenWhenNarrowed", sharesEnd, anyForm},
	{"Invitation_LetsOneInOnce", invitations, anyForm},
	{"Person_WhoIsDisabledLosesAllAccess", disabled, anyForm},
	{"AProtectedSite_IsOpenToWhoIsSignedInAndToldWhoItIsByUsAlone", protected, anyForm},
	{"SignInLink_WorksOnce", linkWorksOnce, anyForm},
	{"SignIn_AlwaysGivesANewSession", sessionIsRotated, everyForm},
	{"RateLimits_TenThousandGuessesOfASignInGetNothingAndFillNothing", signInAttempts, rateForm},
	{"RateLimits_HandoffsOfOneAddressConcernNoOther", handoffAttempts, rateForm},
	{"RateLimits_MadeUpSessionsConcernNobodyElse", apiRequests, rateForm},
	{"SignOut_EndsEveryTabWithinFiveSeconds", signOutEndsTabs, everyForm},
	{"ACookieTossedByASibling_DoesNothing", tossedCookies, everyForm},
	{"HugeHeaders_AreRefused", hugeHeaders, anyForm},
	{"SlowClients_HoldNobodyUp", slowClients, anyForm},
	{"IdentityHeaders_FromOutsideNeverArriveInAnySpelling", identityHeadersStay, everyForm},
	{"IdentityHeaders_SentInOddWaysNeverArrive", oddHeadersStay, anyForm},
	{"HTTP2_ChangesNothing", overHTTP2, everyForm},
	{"OurCookies_NeverReachTheApp", cookiesStay, everyForm},
	{"OurCookies_CannotBeSetByAnApp", answersCannotSetOurs, everyForm},
	{"OurCookies_CannotBeClearedByAnApp", answersCannotClear, anyForm},
	{"Addresses_ArriveAsTheyCame", addressesPass, everyForm},
	{"HostileBridge_LiesAboutItsReadinessInVain", hostileReadiness, anyForm},
	{"HostileApp_AnswersWithoutHarm", hostileAnswers, anyForm},
	{"HostileApp_FloodsAndDeafnessHoldNobodyUp", hostileStreams, anyForm},
}

// Run asks a deployment for everything that is promised.
func Run(t *testing.T, s *site) {
	s.setUp(t)
	t.Run("Promises", func(t *testing.T) { // returns when the parallel ones have ended
		for _, p := range promises {
			if (p.on == rateForm) != (s.name == limited) || p.on == anyForm && s.name == forms[1].name {
				continue
			}
			t.Run(p.name, func(t *testing.T) {
				t.Parallel()
				p.test(t, s)
			})
		}
	})
	if s.name == limited {
		return
	}
	t.Run("OfAllThatReachedAnApp_NothingIsOurs", func(t *testing.T) { nothingOfOurs(t, s) })
}

// setUp signs both people in and wakes the workspaces that the tests share.
func (s *site) setUp(t *testing.T) {
	for _, who := range []person{admin, member} {
		b := s.stranger()
		var code int
		var body string
		if link := s.first[who]; link != "" {
			code, body = b.follow(t, link)
		} else {
			code, body = b.accept(t, s.browser(admin).invite(t), string(who))
		}
		if code != http.StatusNoContent {
			t.Fatalf("signing in as %s: %d %s", who, code, body)
		}
		s.people[who] = b.me(t)
		s.sessions[who] = strings.TrimPrefix(b.cookies(s.console+"/"), "Cookie: ")
		t.Cleanup(func() { s.clean(t, who) })
	}
	if s.name == limited {
		return
	}
	var waking sync.WaitGroup
	for _, w := range []struct {
		id   *string
		name string
		who  person
	}{{&s.mine, "mine", admin}, {&s.sibling, "sibling", admin}, {&s.theirs, "theirs", member}} {
		b := s.browser(w.who)
		*w.id = b.create(t, w.name, "")
		s.watchers[*w.id] = b
		waking.Go(func() {
			b.start(t, *w.id)
			b.grant(t, *w.id)
		})
	}
	waking.Wait()
	if t.Failed() {
		t.FailNow()
	}
	s.late, s.lateSince = s.browser(admin).begin(t, preview(3000, s.mine), "/"), time.Now()
}

// clean deletes what a person has.
func (s *site) clean(t *testing.T, who person) {
	b := s.browser(who)
	var list struct{ Workspaces []workspace }
	if code, body := b.api(t, "GET", "/api/workspaces", nil, &list); code != 200 {
		t.Errorf("the list of %s's workspaces: %d %s", who, code, body)
	}
	var deleting sync.WaitGroup
	for _, w := range list.Workspaces {
		deleting.Go(func() { b.delete(t, w.ID) })
	}
	deleting.Wait()
}
