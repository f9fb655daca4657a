// Command caller asks gateways for users' features, and prints a line for each user.
//
//	caller TARGET [USER...]
//
// The users of the arguments, or of one line of the standard input, are asked for by one call. Several lines are asked for
// at the same time. STREAMFLOW_FEATURES_TIMEOUT_S is the deadline of a call in seconds, by default 1. The exit code is 1 if
// a user has no features.
package main

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"

	featuresv1 "streamflow.example/caller/gen/streamflow/features/v1"
)

const callers = 8

func main() {
	if len(os.Args) < 2 {
		log.Fatal("usage: caller TARGET [USER...]")
	}
	timeout, err := time.ParseDuration(cmp.Or(os.Getenv("STREAMFLOW_FEATURES_TIMEOUT_S"), "1") + "s")
	if err != nil {
		log.Fatal(err)
	}
	connection, err := connect(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	client := featuresv1.NewUserFeatureServiceClient(connection)
	var input io.Reader = os.Stdin
	if users := os.Args[2:]; len(users) > 0 {
		input = strings.NewReader(strings.Join(users, " "))
	}

	var failed atomic.Bool
	var group sync.WaitGroup
	lines := make(chan string)
	for range callers {
		group.Go(func() {
			for line := range lines {
				answers, ok := ask(client, timeout, strings.Fields(line))
				if !ok {
					failed.Store(true)
				}
				fmt.Print(answers)
			}
		})
	}
	scanner := bufio.NewScanner(input)
	for scanner.Scan() {
		lines <- scanner.Text()
	}
	close(lines)
	group.Wait()
	if scanner.Err() != nil || failed.Load() {
		os.Exit(1)
	}
}

// ask returns a line for each user, and whether all have features.
func ask(client featuresv1.UserFeatureServiceClient, timeout time.Duration, userIDs []string) (answers string, ok bool) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if len(userIDs) == 1 {
		features, err := getUser(ctx, client, userIDs[0])
		if err != nil {
			return userIDs[0] + " " + failure(err), false
		}
		return userIDs[0] + " " + fee(features), true
	}
	results, err := getUsers(ctx, client, userIDs)
	if err != nil {
		return strings.Join(userIDs, ",") + " " + failure(err), false
	}
	ok = true
	for _, result := range results {
		answers += result.GetUserId() + " "
		if wrong := result.GetError(); wrong != nil {
			answers += fmt.Sprintln(code.Code(wrong.GetCode()), wrong.GetReason(), wrong.GetMessage())
			ok = false
		} else {
			answers += fee(result.GetUserFeatures())
		}
	}
	return answers, ok
}

// fee says what a model would get: a value and its status.
func fee(features *featuresv1.UserFeatures) string {
	value, state, err := float64Of(features, "monthly_fee")
	if err != nil {
		return fmt.Sprintln(err)
	}
	return fmt.Sprintln("monthly_fee", strconv.FormatFloat(value, 'g', -1, 64), state)
}

// failure says why a call failed: gRPC's code, the reason, and a text for people.
func failure(err error) string {
	failed := status.Convert(err)
	reason := featuresv1.ErrorReason_ERROR_REASON_UNSPECIFIED.String()
	for _, detail := range failed.Details() {
		if info, found := detail.(*errdetails.ErrorInfo); found {
			reason = info.GetReason()
		}
	}
	return fmt.Sprintln(code.Code(failed.Code()), reason, failed.Message())
}
