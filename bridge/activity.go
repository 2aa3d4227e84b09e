package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"time"
)

// ActivityPath, on BridgePort, answers at once with what the container knows of its use: see Activity.
const ActivityPath = "/.kalpana/activity"

// Names of the activities that the bridge reports. Any process of the container can claim each of them.
const (
	ActivityTyping    = "typing"    // a person changed text in VS Code
	ActivitySelection = "selection" // moved the cursor or the view
	ActivitySave      = "save"      // saved
	ActivityFocus     = "focus"     // turned to VS Code or away from it, or uses another part of it
	ActivityTerminal  = "terminal"  // a terminal had input or output
)

// ActivityNames lists them.
var ActivityNames = []string{ActivityTyping, ActivitySelection, ActivitySave, ActivityFocus, ActivityTerminal}

// MaxKeepAlive bounds how long the container may ask to be kept awake, from now on.
const MaxKeepAlive = 24 * time.Hour

const (
	// activityTimeout bounds ReadActivity: a container that is frozen accepts connections and never answers.
	activityTimeout = 2 * time.Second
	// activityLimit bounds an answer of ActivityPath, in bytes.
	activityLimit = 4 << 10
	// maxAgo is the longest time since an activity that is told apart from longer ones.
	maxAgo = 365 * 24 * time.Hour
)

// ErrNoActivity says that the container's bridge is older than ActivityPath.
var ErrNoActivity = errors.New("bridge: the container does not report activity")

// Activity is what a container says of its use. From ReadActivity it is checked: names are of ActivityNames, each
// at most once; no number is negative, infinite or absurd. Whether it is true is another matter.
type Activity struct {
	Last []LastActivity `json:"last"`
	// KeepAlive is for how many seconds from now on somebody in the container asks for it to be kept awake;
	// at most MaxKeepAlive.
	KeepAlive float64 `json:"keepAlive"`
	// CPU is the share of the container's CPU limit that it used since the last report, from 0 to 1.
	CPU float64 `json:"cpu"`
}

// LastActivity is when an activity of a name was last seen.
type LastActivity struct {
	Name string `json:"name"`
	// Ago is in seconds.
	Ago float64 `json:"ago"`
}

// Since returns Ago as a duration.
func (l LastActivity) Since() time.Duration { return seconds(l.Ago) }

// KeptAwake returns KeepAlive as a duration.
func (a Activity) KeptAwake() time.Duration { return seconds(a.KeepAlive) }

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

// ReadActivity asks the bridge behind base (http://host:port of the published BridgePort). It takes at most 2 s
// and reads at most 4 KiB, and follows no redirect.
//
// Errors: ErrNoActivity, ErrUnauthorized, ErrBadAnswer, or why nothing answered.
func ReadActivity(ctx context.Context, client *http.Client, base, token string) (Activity, error) {
	ctx, cancel := context.WithTimeout(ctx, activityTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(base, "/")+ActivityPath, nil)
	if err != nil {
		return Activity{}, fmt.Errorf("bridge: %w", err)
	}
	req.Header.Set(TokenHeader, token)
	once := *client
	once.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	once.Jar = nil
	resp, err := once.Do(req)
	if err != nil {
		return Activity{}, fmt.Errorf("bridge: %w", err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusUnauthorized:
		return Activity{}, ErrUnauthorized
	case http.StatusNotFound:
		return Activity{}, ErrNoActivity
	default:
		return Activity{}, fmt.Errorf("%w: status %d on %s", ErrBadAnswer, resp.StatusCode, ActivityPath)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, activityLimit+1))
	if err != nil {
		return Activity{}, fmt.Errorf("bridge: %w", err)
	}
	if len(body) > activityLimit {
		return Activity{}, fmt.Errorf("%w: more than %d bytes on %s", ErrBadAnswer, activityLimit, ActivityPath)
	}
	var said Activity
	if err := json.Unmarshal(body, &said); err != nil {
		return Activity{}, fmt.Errorf("%w: %s is not what it should be", ErrBadAnswer, ActivityPath)
	}
	return said.checked()
}

// checked returns what of a container's words can be worked with. A name that is not known is left out: a newer
// bridge may have more of them.
func (a Activity) checked() (Activity, error) {
	out := Activity{KeepAlive: min(a.KeepAlive, MaxKeepAlive.Seconds()), CPU: min(a.CPU, 1)}
	bad := !plausible(a.KeepAlive) || !plausible(a.CPU)
	for _, name := range ActivityNames {
		ago := math.Inf(1)
		for _, l := range a.Last {
			if l.Name == name {
				bad = bad || !plausible(l.Ago)
				ago = min(ago, l.Ago)
			}
		}
		if !math.IsInf(ago, 1) {
			out.Last = append(out.Last, LastActivity{name, min(ago, maxAgo.Seconds())})
		}
	}
	if bad {
		return Activity{}, fmt.Errorf("%w: an impossible number on %s", ErrBadAnswer, ActivityPath)
	}
	return out, nil
}

func plausible(n float64) bool { return n >= 0 && !math.IsInf(n, 1) } // NaN is not above anything
