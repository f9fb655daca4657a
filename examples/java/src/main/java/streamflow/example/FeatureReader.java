package streamflow.example;

import com.google.gson.Gson;
import com.google.gson.reflect.TypeToken;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.StatusRuntimeException;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.Reader;
import java.nio.charset.StandardCharsets;
import java.security.Security;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.NoSuchElementException;
import java.util.concurrent.TimeUnit;
import streamflow.features.v1.FeatureOuterClass.Feature;
import streamflow.features.v1.FeatureOuterClass.FeatureStatus;
import streamflow.features.v1.FeatureOuterClass.UserFeatures;
import streamflow.features.v1.UserFeatureServiceGrpc;
import streamflow.features.v1.UserFeatureServiceOuterClass.BatchGetUserFeaturesRequest;
import streamflow.features.v1.UserFeatureServiceOuterClass.GetUserFeaturesRequest;
import streamflow.features.v1.UserFeatureServiceOuterClass.UserResult;

/** Reads features from all gateways of a target, such as {@code dns:///gateway:50051}. Threads can share a reader. */
final class FeatureReader implements AutoCloseable {
  private static final String FEATURE_SERVICE = "churn_v1";

  private final ManagedChannel channel;
  private final UserFeatureServiceGrpc.UserFeatureServiceBlockingStub stub;
  private final Duration timeout;

  /** A value and its status. Without a value it is NaN, and the status says why. */
  record Float64(double value, FeatureStatus status) {}

  FeatureReader(String target, Duration timeout) throws IOException {
    // The JDK and gRPC each look a name up again after 30 s. A restart of a gateway is shorter.
    Security.setProperty("networkaddress.cache.ttl", "1");
    System.setProperty("networkaddress.cache.ttl", "1");
    this.timeout = timeout;
    channel =
        Grpc.newChannelBuilder(target, InsecureChannelCredentials.create())
            .defaultServiceConfig(serviceConfig())
            // A gateway that is silent for 20 s is lost.
            .keepAliveTime(15, TimeUnit.SECONDS)
            .keepAliveTimeout(5, TimeUnit.SECONDS)
            // A batch can have more than gRPC's 4 MiB.
            .maxInboundMessageSize(Integer.MAX_VALUE)
            .build();
    stub = UserFeatureServiceGrpc.newBlockingStub(channel);
  }

  /** Returns how calls are spread over gateways, and which are retried. */
  private static Map<String, ?> serviceConfig() throws IOException {
    try (Reader file =
        new InputStreamReader(
            FeatureReader.class.getResourceAsStream("/service_config.json"), StandardCharsets.UTF_8)) {
      return new Gson().fromJson(file, new TypeToken<Map<String, ?>>() {});
    }
  }

  /** Returns one user's features, or throws {@link StatusRuntimeException}, at the deadline at the latest. */
  UserFeatures ofUser(String userId) {
    var request = GetUserFeaturesRequest.newBuilder().setUserId(userId).setFeatureService(FEATURE_SERVICE).build();
    return withDeadline().getUserFeatures(request).getUserFeatures();
  }

  /** Returns a result for each of several users by one call: features, or the error of that user. */
  List<UserResult> ofUsers(List<String> userIds) {
    var request =
        BatchGetUserFeaturesRequest.newBuilder().addAllUserIds(userIds).setFeatureService(FEATURE_SERVICE).build();
    return withDeadline().batchGetUserFeatures(request).getResultsList();
  }

  private UserFeatureServiceGrpc.UserFeatureServiceBlockingStub withDeadline() {
    return stub.withDeadlineAfter(timeout.toNanos(), TimeUnit.NANOSECONDS);
  }

  /** Returns a Float64 feature. */
  static Float64 float64Of(UserFeatures features, String name) {
    for (Feature feature : features.getFeaturesList()) {
      if (feature.getName().equals(name)) {
        return switch (feature.getValueCase()) {
          case DOUBLE_VALUE -> new Float64(feature.getDoubleValue(), feature.getStatus());
          case VALUE_NOT_SET -> new Float64(Double.NaN, feature.getStatus());
          default -> throw new ClassCastException(name + " is not a Float64");
        };
      }
    }
    throw new NoSuchElementException(FEATURE_SERVICE + " has no " + name);
  }

  @Override
  public void close() {
    channel.shutdownNow();
  }
}
