import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * Starts the one class with a main method and tells the host, by a nonce, that main ran to its very end.
 *
 * Standard output is the report pipe; what the program prints goes to standard error.
 */
final class EmendLauncher {
    private EmendLauncher() {}

    public static void main(String[] arguments) throws Exception {
        Path nonceFile = Path.of(".emend-nonce");
        String nonce = Files.readString(nonceFile);
        Files.delete(nonceFile);
        PrintStream report = System.out;
        System.setOut(System.err);
        Method main = mainMethod(Path.of(System.getProperty("java.class.path")));
        try {
            main.invoke(null, (Object) new String[0]);
        } catch (InvocationTargetException error) {
            error.getCause().printStackTrace();
            System.exit(1);
        }
        joinThreads();
        report.print("\n" + nonce + " {\"kind\": \"end\", \"code\": 0}\n");
        report.flush();
    }

    private static Method mainMethod(Path classes) throws Exception {
        List<String> names;
        try (Stream<Path> files = Files.list(classes)) {
            names = files.map(f -> f.getFileName().toString())
                    .filter(n -> n.endsWith(".class") && !n.startsWith("EmendLauncher"))
                    .map(n -> n.substring(0, n.length() - ".class".length()))
                    .sorted()
                    .collect(Collectors.toList());
        }
        for (String name : names) {
            for (Method method : Class.forName(name, false, EmendLauncher.class.getClassLoader()).getDeclaredMethods()) {
                boolean fits = method.getName().equals("main") && Modifier.isStatic(method.getModifiers())
                        && method.getParameterCount() == 1 && method.getParameterTypes()[0] == String[].class;
                if (fits) {
                    method.setAccessible(true);
                    return method;
                }
            }
        }
        throw new NoSuchMethodException("no class has a method `public static void main(String[])`");
    }

    private static void joinThreads() throws InterruptedException {
        for (Thread thread : Thread.getAllStackTraces().keySet()) {
            if (thread != Thread.currentThread() && !thread.isDaemon()) {
                thread.join();
            }
        }
    }
}
