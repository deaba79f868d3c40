# Stands in for nixpkgs where it can't be fetched: packages are programs that cargo built before, which the tests put
# into ./programs. The flake's own code is what runs.
{
  outputs =
    { self }:
    let
      packagesFor =
        system:
        let
          # A derivation of what lies in a folder, without a shell.
          folder =
            name: path:
            derivation {
              inherit name system;
              builder = "builtin:buildenv";
              derivations = "true 5 1 ${path}";
              manifest = "/dummy";
            };
          package =
            name: version:
            folder "${name}-${version}" (
              builtins.path {
                inherit name;
                path = ./programs + "/${name}";
              }
            );
          buildRustPackage =
            {
              pname,
              version,
              src,
              outputs ? [ "out" ],
              ...
            }:
            # Forced, as the real one forces it.
            builtins.seq "${src}" (
              builtins.foldl' (
                built: output: built // (if output == "out" then { } else { ${output} = package "${pname}-${output}" version; })
              ) (package pname version) outputs
            );
          self = {
            rustPlatform = { inherit buildRustPackage; };
            # The C library of an imported cargo, and links to it.
            glibc = {
              outPath = builtins.path { name = "glibc"; path = ./programs/glibc; };
              static = null;
            };
            stdenv.cc.cc.lib = builtins.path { name = "libgcc"; path = ./programs/libgcc; };
            buildEnv =
              { name, paths, ... }:
              derivation {
                inherit name system;
                builder = "builtin:buildenv";
                derivations = map (path: "true 5 1 ${path}") paths;
                manifest = "/dummy";
              };
            mkShell = _: folder "shell" ./programs;
            nixfmt = folder "nixfmt" ./programs;
            cargo = null;
            clippy = null;
            git = null;
            nix = null;
            rustc = null;
            rustfmt = null;
          };
        in
        self;
    in
    {
      legacyPackages = builtins.listToAttrs (
        map
          (system: {
            name = system;
            value = packagesFor system;
          })
          [
            "x86_64-linux"
            "aarch64-linux"
          ]
      );
    };
}
