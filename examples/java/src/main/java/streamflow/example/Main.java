package streamflow.example;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.ErrorInfo;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.Reader;
import java.io.StringReader;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import streamflow.features.v1.ErrorReasonOuterClass.ErrorReason;
import streamflow.features.v1.FeatureOuterClass.UserFeatures;
import streamflow.features.v1.UserFeatureServiceOuterClass.UserResult;

/**
 * Asks gateways for users' features, and prints a line for each user: {@code java -jar caller.jar TARGET [USER...]}.
 *
 * <p>The users of the arguments, or of one line of the standard input, are asked for by one call. Several lines are asked
 * for at the same time. STREAMFLOW_FEATURES_TIMEOUT_S is the deadline of a call in seconds, by default 1. The exit code is
 * 1 if a user has no features.
 */
public final class Main {
  private static final int CALLERS = 8;

  private final FeatureReader reader;
  private final AtomicBoolean failed = new AtomicBoolean();

  private Main(FeatureReader reader) {
    this.reader = reader;
  }

  /** Runs the command. */
  public static void main(String[] arguments) throws Exception {
    if (arguments.length == 0) {
      System.err.println("usage: java -jar caller.jar TARGET [USER...]");
      System.exit(2);
    }
    List<String> users = List.of(arguments).subList(1, arguments.length);
    Reader input =
        users.isEmpty()
            ? new InputStreamReader(System.in, StandardCharsets.UTF_8)
            : new StringReader(String.join(" ", users));
    String timeoutS = System.getenv().getOrDefault("STREAMFLOW_FEATURES_TIMEOUT_S", "1");
    var timeout = Duration.ofMillis(Math.round(Double.parseDouble(timeoutS) * 1000));
    try (var reader = new FeatureReader(arguments[0], timeout);
        var lines = new BufferedReader(input)) {
      var main = new Main(reader);
      var callers = Executors.newFixedThreadPool(CALLERS);
      lines.lines().forEach(line -> callers.execute(() -> System.out.print(main.ask(List.of(line.split(" "))))));
      callers.shutdown();
      callers.awaitTermination(Long.MAX_VALUE, TimeUnit.NANOSECONDS);
      if (main.failed.get()) {
        System.exit(1);
      }
    }
  }

  /** Returns a line for each user. */
  private String ask(List<String> userIds) {
    try {
      if (userIds.size() == 1) {
        return userIds.get(0) + " " + fee(reader.ofUser(userIds.get(0)));
      }
      var answers = new StringBuilder();
      for (UserResult result : reader.ofUsers(userIds)) {
        answers.append(result.getUserId()).append(' ');
        answers.append(result.hasError() ? failure(result) : fee(result.getUserFeatures()));
      }
      return answers.toString();
    } catch (StatusRuntimeException error) {
      return String.join(",", userIds) + " " + failure(error);
    }
  }

  /** Says what a model would get: a value and its status. */
  private static String fee(UserFeatures features) {
    var fee = FeatureReader.float64Of(features, "monthly_fee");
    return "monthly_fee %s %s%n".formatted(fee.value(), fee.status());
  }

  /** Says why a user of a batch has no features: gRPC's code, the reason, and a text for people. */
  private String failure(UserResult result) {
    failed.set(true);
    var error = result.getError();
    return "%s %s %s%n".formatted(Status.fromCodeValue(error.getCode()).getCode(), error.getReason(), error.getMessage());
  }

  /** Says why a call failed. */
  private String failure(StatusRuntimeException error) {
    failed.set(true);
    String reason = ErrorReason.ERROR_REASON_UNSPECIFIED.name();
    for (Any detail : StatusProto.fromThrowable(error).getDetailsList()) {
      try {
        if (detail.is(ErrorInfo.class)) {
          reason = detail.unpack(ErrorInfo.class).getReason();
        }
      } catch (InvalidProtocolBufferException malformed) {
        throw new IllegalArgumentException(malformed);
      }
    }
    return "%s %s %s%n".formatted(error.getStatus().getCode(), reason, error.getStatus().getDescription());
  }
}
