mod greeting;

fn main() {
    println!("{} from Rust on {}", greeting::TEXT, std::env::consts::ARCH);
}
