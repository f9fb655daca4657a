package main

import (
	"context"
	_ "embed"
	"errors"
	"math"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/health" // Without it, healthCheckConfig has no effect.
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/resolver/dns"

	featuresv1 "streamflow.example/caller/gen/streamflow/features/v1"
)

//go:generate buf generate
//go:generate cp ../../protos/service_config.json gen

// How calls are spread over gateways, and which are retried.
//
//go:embed gen/service_config.json
var serviceConfig string

const featureService = "churn_v1"

// connect returns a connection that spreads calls over all gateways of a target, such as dns:///gateway:50051.
func connect(target string) (*grpc.ClientConn, error) {
	// gRPC looks a name up again after 30 s, and connects again after up to 120 s. A restart of a gateway is shorter.
	dns.SetMinResolutionInterval(time.Second)
	reconnect := backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1, MaxDelay: 100 * time.Millisecond}
	return grpc.NewClient(target,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(serviceConfig),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: reconnect, MinConnectTimeout: time.Second}),
		// A gateway that is silent for 20 s is lost.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 15 * time.Second, Timeout: 5 * time.Second}),
		// A batch can have more than gRPC's 4 MiB.
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32)))
}

// getUser returns one user's features before the deadline of ctx.
func getUser(ctx context.Context, client featuresv1.UserFeatureServiceClient, userID string) (*featuresv1.UserFeatures, error) {
	reply, err := client.GetUserFeatures(ctx, &featuresv1.GetUserFeaturesRequest{
		UserId:    userID,
		Selection: &featuresv1.GetUserFeaturesRequest_FeatureService{FeatureService: featureService},
	})
	return reply.GetUserFeatures(), err
}

// getUsers returns a result for each of several users by one call: features, or the error of that user.
func getUsers(ctx context.Context, client featuresv1.UserFeatureServiceClient, userIDs []string) ([]*featuresv1.UserResult, error) {
	reply, err := client.BatchGetUserFeatures(ctx, &featuresv1.BatchGetUserFeaturesRequest{
		UserIds:   userIDs,
		Selection: &featuresv1.BatchGetUserFeaturesRequest_FeatureService{FeatureService: featureService},
	})
	return reply.GetResults(), err
}

// float64Of returns a Float64 feature's value, and its status. Without a value it returns NaN, and the status says why.
func float64Of(features *featuresv1.UserFeatures, name string) (float64, featuresv1.FeatureStatus, error) {
	for _, feature := range features.GetFeatures() {
		if feature.GetName() != name {
			continue
		}
		switch value := feature.GetValue().(type) {
		case *featuresv1.Feature_DoubleValue:
			return value.DoubleValue, feature.GetStatus(), nil
		case nil:
			return math.NaN(), feature.GetStatus(), nil
		}
		return 0, 0, errors.New(name + " is not a Float64")
	}
	return 0, 0, errors.New(featureService + " has no " + name)
}
